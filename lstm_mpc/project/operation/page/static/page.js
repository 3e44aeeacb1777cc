"use strict";
// One face a loop; samples come as server-sent events, writes go as requests that are confirmed.
const POINTS = 300, NS = "http://www.w3.org/2000/svg", MODES = ["OFF", "ADVISE", "MANUAL", "AUTO"];
const byId = (id) => document.getElementById(id);
const faces = [];
let role = "viewer", last = performance.now(), pace = 10;

function element(parent, tag, text = "", attributes = {}) {
  const made = parent.appendChild(document.createElement(tag));
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function shown(value) { return value === null || value === undefined ? "–" : value.toPrecision(5); }

async function ask(loop, what, value, words) {
  byId("question").textContent = words;
  const box = byId("confirm");
  box.returnValue = "no";
  box.showModal();
  await new Promise((done) => box.addEventListener("close", done, { once: true }));
  if (box.returnValue !== "yes") return;
  try {
    const response = await fetch("request", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Requested-With": "lstm-mpc" },
      body: JSON.stringify({ loop, what, value, seen: faces[loop].revision }),
    });
    const said = await response.json();
    byId("answer").textContent = said.granted ? `done: ${words}` : `refused: ${said.reason}`;
  } catch (error) {
    byId("answer").textContent = `not sent: ${error.message}`;
  }
}

function entry(place, loop, what, signals, j) {
  const { name, unit } = signals[j];
  const label = element(place, "label", `${what} `);
  const field = element(label, "input", "", { type: "number", step: "any", "aria-label": `${what} of ${name} in ${unit}` });
  const button = element(place, "button", `Set ${what}`, { type: "button" });
  button.addEventListener("click", () => {
    const face = faces[loop], key = what === "setpoint" ? "setpoint" : "u";
    const values = face.points.at(-1)[key].slice();
    values[j] = Number(field.value);
    ask(loop, what, values, `${name}: ${what} ${field.value} ${unit}?`);
  });
  if (role !== "operator") button.disabled = field.disabled = true;
}

function face(loop, index) {
  const place = byId("loops").appendChild(byId("face").content.cloneNode(true).firstElementChild);
  const made = { loop, place, points: loop.trend, revision: 0, drawings: [] };
  place.querySelector("h2").textContent = `${loop.name} at ${loop.url}`;
  place.querySelector(".model").textContent = `${loop.model}; engine ${loop.engine}`;
  for (const [kind, words] of loop.evidence) element(place.querySelector(".evidence"), "li", `${kind}: ${words}`);
  for (const mode of MODES) {
    const button = element(place.querySelector(".modes"), "button", mode, { type: "button", "data-mode": mode });
    button.disabled = role !== "operator";
    button.addEventListener("click", () => ask(index, "mode", mode, `${loop.name}: ${mode}?`));
  }
  const add = (signal, key, j, curves, what, signals) => {
    const part = element(place.querySelector(".signals"), "div", "", { class: "signal" });
    element(part, "h3", `${signal.name} [${signal.unit}]`);
    const value = element(part, "p", "–", { class: "value" });
    const trend = element(part, "div", "", { class: "trend" });
    const top = element(trend, "span", "", { class: "top" }), bottom = element(trend, "span", "", { class: "bottom" });
    const drawing = trend.appendChild(document.createElementNS(NS, "svg"));
    drawing.setAttribute("viewBox", `0 0 ${POINTS} 100`);
    drawing.setAttribute("preserveAspectRatio", "none");
    drawing.setAttribute("role", "img");
    const legend = element(part, "p", "", { class: "legend" });
    const names = { y: "measured", u: "in force", setpoint: "setpoint", advice: "advice", predicted: "predicted" };
    for (const c of [key, curves[0], ...(key === "y" ? ["predicted"] : [])]) element(legend, "span", names[c], { class: c });
    const span = element(legend, "span");
    entry(part, index, what, signals, j);
    made.drawings.push({ signal, key, j, curves, value, drawing, top, bottom, span });
  };
  loop.outputs.forEach((s, j) => add(s, "y", j, ["setpoint", "y"], "setpoint", loop.outputs));
  loop.inputs.forEach((s, j) => add(s, "u", j, ["advice", "u"], "output", loop.inputs));
  return made;
}

function draw(made, sample) {
  const points = made.points;
  for (const { signal, key, j, curves, value, drawing, top, bottom, span } of made.drawings) {
    const now = points.at(-1), ahead = key === "y" && sample.predicted ? sample.predicted.map((row) => row[j]) : [];
    const second = now[curves[0]][j], name = curves[0];
    value.textContent = `${shown(now[key][j])} ${signal.unit}, ${name} ${shown(second)}`;
    drawing.setAttribute("aria-label", `${signal.name}: ${value.textContent}`);
    const all = points.flatMap((p) => curves.map((c) => p[c][j])).concat(ahead).filter((v) => v !== null);
    let low = Math.min(...all), high = Math.max(...all);
    const room = Math.max(0.1 * (high - low), 0.02 * (signal.limits[1] - signal.limits[0]));
    low -= room; high += room;
    top.textContent = shown(high); bottom.textContent = shown(low);
    span.textContent = `the last ${Math.round((points.length * made.loop.Ts) / 6) / 10} min`;
    const place = (v) => 100 - (100 * (v - low)) / (high - low);
    const first = Math.max(0, points.length + ahead.length - POINTS);
    drawing.replaceChildren();
    const line = (values, kind, from) => {
      const made = drawing.appendChild(document.createElementNS(NS, "polyline"));
      made.setAttribute("class", kind === "u" ? "y" : kind);
      made.setAttribute("points", values.map((v, i) => (v === null ? "" : `${from + i},${place(v).toFixed(2)}`)).join(" "));
    };
    for (const c of curves) line(points.slice(first).map((p) => p[c][j]), c, 0);
    if (ahead.length) line(ahead, "predicted", points.length - first - 1);
    for (const limit of signal.limits) {
      if (limit < low || limit > high) continue;
      const end = drawing.appendChild(document.createElementNS(NS, "line"));
      for (const [k, v] of [["x1", 0], ["x2", POINTS], ["y1", place(limit)], ["y2", place(limit)]]) end.setAttribute(k, v);
    }
  }
}

function take(sample) {
  const made = faces[sample.loop], place = made.place;
  last = performance.now();
  made.points.push(sample);
  if (made.points.length > POINTS) made.points.shift();
  made.revision = sample.revision;
  place.querySelector(".now").textContent = sample.mode;
  place.dataset.k = sample.k;
  const bad = Object.entries(sample.reasons).map(([tag, why]) => `${tag}: ${why}`);
  place.querySelector(".status").textContent = [sample.status, ...bad].filter(Boolean).join("; ") || "good";
  for (const button of place.querySelectorAll(".modes button")) button.setAttribute("aria-pressed", button.dataset.mode === sample.mode);
  const alarms = place.querySelector(".alarms");
  alarms.replaceChildren();
  for (const alarm of sample.alarms) {
    const row = element(alarms, "li", `${alarm.name}: ${alarm.text}${alarm.active ? "" : " (gone)"} `, { class: alarm.active ? "active" : "" });
    if (alarm.by) element(row, "em", `acknowledged by ${alarm.by}`);
    else if (role === "operator") element(row, "button", "Acknowledge", { type: "button" }).addEventListener("click", () => ask(sample.loop, "acknowledge", alarm.name, `acknowledge ${alarm.name}?`));
  }
  if (!sample.alarms.length) element(alarms, "li", "none");
  draw(made, sample);
}

function watch() {
  const lost = performance.now() - last > 2000 * pace;
  byId("link").textContent = lost ? "NO DATA: what is shown is old" : "connected";
  byId("link").className = lost ? "lost" : "";
}

async function begin() {
  const state = await (await fetch("state")).json();
  role = state.role;
  byId("who").textContent = `${state.user}, ${state.role}`;
  pace = Math.min(...state.loops.map((loop) => loop.pace));
  state.loops.forEach((loop, index) => faces.push(face(loop, index)));
  new EventSource("events").addEventListener("message", (event) => take(JSON.parse(event.data)));
  setInterval(watch, Math.min(500, 250 * pace));
}
begin().catch((error) => { byId("link").textContent = `no connection: ${error.message}`; byId("link").className = "lost"; });
