"use strict";
// What the pages share: elements, the question before every write, and trends.
const NS = "http://www.w3.org/2000/svg";
const NAMES = { y: "measured", u: "in force", setpoint: "setpoint", advice: "advice",
  predicted: "predicted", before: "as in design.toml" };
const byId = (id) => document.getElementById(id);

function element(parent, tag, text = "", attributes = {}) {
  const made = parent.appendChild(document.createElement(tag));
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const shown = (value) => value === null || value === undefined ? "–" : value.toPrecision(5);

async function confirmed(words, lines = []) {
  byId("question").textContent = words;
  const box = byId("confirm"),
    more = box.querySelector("pre");
  if (more) more.textContent = lines.join("\n");
  box.returnValue = "no";
  box.showModal();
  await new Promise((done) => box.addEventListener("close", done, { once: true }));
  return box.returnValue === "yes";
}

function send(where, body, signal) {
  const headers = { "Content-Type": "application/json", "X-Requested-With": "lstm-mpc" };
  return fetch(where, { method: "POST", headers, body: JSON.stringify(body), signal });
}

// A trend of a signal, with a legend of these kinds of curves; `points` wide.
function trend(parent, signal, kinds, points) {
  const part = element(parent, "div", "", { class: "signal" });
  element(part, "h3", `${signal.name} [${signal.unit}]`);
  const value = element(part, "p", "–", { class: "value" });
  const place = element(part, "div", "", { class: "trend" });
  const top = element(place, "span", "", { class: "top" }),
    bottom = element(place, "span", "", { class: "bottom" });
  const drawing = place.appendChild(document.createElementNS(NS, "svg"));
  drawing.setAttribute("viewBox", `0 0 ${points} 100`);
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("role", "img");
  const legend = element(part, "p", "", { class: "legend" });
  for (const kind of kinds) element(legend, "span", NAMES[kind], { class: kind });
  const span = element(legend, "span");
  return { part, signal, value, top, bottom, drawing, span, points };
}

// Draw curves [kind, values, first point] into it, and the limits that are in sight.
function draw({ signal, drawing, top, bottom, value, points }, curves, words) {
  value.textContent = words;
  drawing.setAttribute("aria-label", `${signal.name}: ${words}`);
  const all = curves.flatMap(([, values]) => values).filter((v) => v !== null);
  drawing.replaceChildren();
  if (!all.length) return;
  let low = Math.min(...all),
    high = Math.max(...all);
  const room = Math.max(0.1 * (high - low), 0.02 * (signal.limits[1] - signal.limits[0]));
  low -= room;
  high += room;
  top.textContent = shown(high);
  bottom.textContent = shown(low);
  const place = (v) => 100 - (100 * (v - low)) / (high - low);
  const add = (tag, attributes) => {
    const made = drawing.appendChild(document.createElementNS(NS, tag));
    for (const [key, text] of Object.entries(attributes)) made.setAttribute(key, text);
  };
  for (const [kind, values, from] of curves) {
    add("polyline", { class: kind === "u" ? "y" : kind, points: values.map((v, i) => (v === null ?
        "" : `${from + i},${place(v).toFixed(2)}`)).join(" ") });
  }
  for (const limit of signal.limits) {
    if (limit >= low && limit <= high) add("line", { x1: 0, x2: points, y1: place(limit), y2: place(
        limit) });
  }
}