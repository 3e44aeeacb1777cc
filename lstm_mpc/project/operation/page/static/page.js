"use strict";
// One face a loop; samples come as server-sent events, writes go as requests that are confirmed.
const POINTS = 300,
  MODES = ["OFF", "ADVISE", "MANUAL", "AUTO"];
const faces = [];
let role = "viewer",
  last = performance.now(),
  pace = 10;

async function ask(loop, what, value, words) {
  if (!(await confirmed(words))) return;
  try {
    const response = await send("request", { loop, what, value, seen: faces[loop].revision });
    const said = await response.json();
    byId("answer").textContent = said.granted ? `done: ${words}` : `refused: ${said.reason}`;
  } catch (error) {
    byId("answer").textContent = `not sent: ${error.message}`;
  }
}

function entry(place, loop, what, signals, j) {
  const { name, unit } = signals[j];
  const label = element(place, "label", `${what} `);
  const field = element(label, "input", "", { type: "number",
  step: "any", "aria-label": `${what} of ${name} in ${unit}` });
  const button = element(place, "button", `Set ${what}`, { type: "button" });
  button.addEventListener("click", () => {
    const face = faces[loop],
      key = what === "setpoint" ? "setpoint" : "u";
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
  for (const [kind, words] of loop.evidence) element(place.querySelector(".evidence"), "li",
    `${kind}: ${words}`);
  for (const mode of MODES) {
    const button = element(place.querySelector(".modes"), "button",
  mode, { type: "button", "data-mode": mode });
    button.disabled = role !== "operator";
    button.addEventListener("click", () => ask(index, "mode", mode, `${loop.name}: ${mode}?`));
  }
  const add = (signals, key, other, what) => signals.forEach((signal, j) => {
    const kinds = [key, other, ...(key === "y" ? ["predicted"] : [])];
    const drawing = trend(place.querySelector(".signals"), signal, kinds, POINTS);
    entry(drawing.part, index, what, signals, j);
    made.drawings.push({ drawing, key, other, j });
  });
  add(loop.outputs, "y", "setpoint", "setpoint");
  add(loop.inputs, "u", "advice", "output");
  return made;
}

function redraw(made, sample) {
  const points = made.points;
  for (const { drawing, key, other, j } of made.drawings) {
    const ahead = key === "y" && sample.predicted ? sample.predicted.map((row) => row[j]) : [];
    const first = points.slice(Math.max(0, points.length + ahead.length - POINTS)),
      now = points.at(-1);
    const curves = [other, key].map((kind) => [kind, first.map((p) => p[kind][j]), 0]);
    if (ahead.length) curves.push(["predicted", ahead, first.length - 1]);
    drawing.span.textContent =
    `the last ${Math.round((points.length * made.loop.Ts) / 6) / 10} min`;
    draw(drawing, curves,
      `${shown(now[key][j])} ${drawing.signal.unit}, ${other} ${shown(now[other][j])}`);
  }
}

function take(sample) {
  const made = faces[sample.loop],
    place = made.place;
  last = performance.now();
  made.points.push(sample);
  if (made.points.length > POINTS) made.points.shift();
  made.revision = sample.revision;
  place.querySelector(".now").textContent = sample.mode;
  place.dataset.k = sample.k;
  const bad = Object.entries(sample.reasons).map(([tag, why]) => `${tag}: ${why}`);
  place.querySelector(".status").textContent = [sample.status, ...bad].filter(Boolean).join("; ") ||
    "good";
  for (const button of place.querySelectorAll(".modes button")) button.setAttribute("aria-pressed",
    button.dataset.mode === sample.mode);
  const alarms = place.querySelector(".alarms");
  alarms.replaceChildren();
  for (const alarm of sample.alarms) {
    const row = element(alarms, "li",
      `${alarm.name}: ${alarm.text}${alarm.active ? "" : " (gone)"} `, { class: alarm.active ?
          "active" : "" });
    if (alarm.by) element(row, "em", `acknowledged by ${alarm.by}`);
    else if (role === "operator") element(row, "button", "Acknowledge", { type: "button" })
      .addEventListener("click", () => ask(sample.loop, "acknowledge", alarm.name,
        `acknowledge ${alarm.name}?`));
  }
  if (!sample.alarms.length) element(alarms, "li", "none");
  redraw(made, sample);
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
begin().catch((error) => { byId("link").textContent = `no connection: ${error.message}`;
  byId("link").className = "lost"; });