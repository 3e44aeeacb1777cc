"use strict";
// Numbers are tried as they change: the run appears sample by sample, beside that of design.toml.
const fields = {},
  WORDS = { horizon: "horizon", output_weight: "output weight", move_penalty: "move penalty",
    violation_weight: "violation weight" };
let design, drawings = [],
  before = null,
  asked = "",
  flight = null,
  due = 0;

// A number with a slider; `log`: over decades about its value.
function number(parent, key, label, value, [low, high], { whole = false, log = false } = {}) {
  const line = element(parent, "label");
  element(line, "span", label);
  const id = `${key} ${label}`,
    step = whole ? 1 : "any";
  const ends = log ? [-3, 3] : [low, high],
    usual = value > 0 ? value : 1;
  const slider = element(line, "input", "", { type: "range", min: ends[0], max: ends[1],
    step: whole ? 1 : (ends[1] - ends[0]) / 200, "aria-label": `${label}, slider` });
  const field = element(line, "input", "", { type: "number", step, "aria-label": label, id });
  const put = (v) => {
    field.value = v;
    slider.value = log ? (v > 0 ? Math.log10(v / usual) : ends[0]) : v;
  };
  put(value);
  slider.addEventListener("input", () => {
    field.value = log ? Number((usual * 10 ** slider.value).toPrecision(3)) : Number(Number(
      slider.value).toPrecision(5));
    soon();
  });
  field.addEventListener("input", () => { put(field.value);
    soon(); });
  (fields[key] ??= []).push({ put, get: () => Number(field.value === "" ? NaN : field.value) });
}

function choice(parent, key, label, options) {
  const line = element(parent, "label");
  element(line, "span", label);
  const list = element(line, "select", "", { "aria-label": label, id: key });
  for (const [value, words] of options) element(list, "option", words, { value });
  list.addEventListener("input", soon);
  fields[key] = [{ get: () => list.value, list }];
}

const values = (key) => fields[key].map((f) => f.get());
const control = () => ({ horizon: values("horizon")[0], output_weight: values("output_weight"),
  move_penalty: values("move_penalty"), violation_weight: values("violation_weight") });
const what = () => ({
  scenario: values("scenario")[0],
  setpoint: values("setpoint"),
  disturbance: values("disturbance")[0],
  size: values("size")[0],
  noise: values("noise")[0],
  samples: values("samples")[0],
});

const squared = (unit) => (/^[\p{L}%]*$/u.test(unit) ? `${unit}²` : `(${unit})²`);

function build(state) {
  const form = byId("control"),
    scene = byId("what"),
    { outputs, inputs } = state;
  const most = Math.max(60, 2 * state.control.horizon);
  number(form, "horizon", "horizon [samples]", state.control.horizon, [1, most], { whole: true });
  const weights = (key, signals, unit = squared) => signals.forEach((s, j) => number(form, key,
    `${WORDS[key]} of ${s.name} [1/${unit(s.unit)}]`, state.control[key][j], [0,
  1], { log: true }));
  weights("output_weight", outputs);
  weights("move_penalty", inputs);
  weights("violation_weight", outputs, (unit) => unit);
  choice(scene, "scenario", "scenario", [["", "setpoint step and disturbance"], ...state.scenarios
    .map((name) => [name, name])]);
  outputs.forEach((s) => number(scene, "setpoint", `setpoint of ${s.name} [${s.unit}]`, s.setpoint,
    s.limits));
  choice(scene, "disturbance", "disturbance", [["", "none"], ...state.disturbances.map((d) => [d
    .name, `${d.name} [${d.unit}]`])]);
  number(scene, "size", "size of the disturbance", 0, [-1, 1]);
  const { list } = fields.disturbance[0], slider = byId("size size of the disturbance")
    .previousElementSibling;
  list.addEventListener("input", () => {
    const found = state.disturbances.find((d) => d.name === list.value),
      [low, high] = found ? found.limits : [-1, 1];
    [slider.min, slider.max] = [low ?? -1, high ?? 1];
    slider.step = (slider.max - slider.min) / 200;
    fields.size[0].put(found ? Number(((high ?? 1) / 10).toPrecision(2)) : 0);
  });
  number(scene, "noise", "noise of the measurement", state.noise, [0, Math.max(0.1, 4 * state
    .noise)]);
  number(scene, "samples", "samples", 200, [20, 1000], { whole: true });
  for (const place of [form, scene]) place.addEventListener("submit", (event) => event
    .preventDefault());
}

function told(state) {
  design = state;
  byId("who").textContent = `${state.name}: ${state.model}, on ${state.plant}`;
  byId("stale").textContent = state.stale;
}

function back() {
  for (const [key, value] of Object.entries(design.control))[value].flat().forEach((v, j) => fields[
    key][j].put(v));
}

// -- runs --------------------------------------------------------------------------------------

function soon() {
  clearTimeout(due);
  due = setTimeout(run, 150);
}

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n");
    text = parts.pop();
    yield parts.map((part) => JSON.parse(part));
  }
}

async function tried(numbers, scene, signal, onSamples) {
  const made = { samples: [], figures: null },
    response = await send("try", { control: numbers, what: scene }, signal);
  if (!response.ok) throw new Error((await response.json()).error);
  for await (const part of lines(response)) {
    for (const line of part) {
      if (line.error) throw new Error(line.error);
      if (line.figures) made.figures = line.figures;
      else made.samples.push(line);
    }
    onSamples(made);
  }
  return made;
}

async function run() {
  flight?.abort();
  const own = (flight = new AbortController()),
    scene = what(),
    numbers = control();
  const same = JSON.stringify(numbers) === JSON.stringify(design.control),
    key = JSON.stringify([scene, design.control]);
  byId("link").className = "";
  byId("link").textContent = "computing";
  try {
    if (key !== asked) {
      before = await tried(design.control, scene, own.signal, (made) => redraw(made, null));
      asked = key;
    }
    const made = same ? before : await tried(numbers, scene, own.signal, (part) => redraw(part,
      before));
    redraw(made, same ? null : before);
    figures(made.figures, same ? null : before.figures);
    byId("link").textContent =
      `${made.samples.length} samples, ${made.figures.ms.toFixed(1)} ms each`;
    byId("result").dataset.runs = Number(byId("result").dataset.runs ?? 0) + 1;
  } catch (error) {
    if (own.signal.aborted) return;
    byId("link").className = "lost";
    byId("link").textContent = error.message;
  }
}

function redraw(made, old) {
  const { samples } = made, long = Math.max(samples.length, old?.samples.length ?? 0, 2), end =
    samples.at(-1);
  if (!end) return;
  drawings.forEach(({ drawing, key, j }) => {
    const curves = key === "y" ? [["setpoint", samples.map((s) => s.setpoint[j]), 0]] : [];
    if (old) curves.push(["before", old.samples.map((s) => s[key][j]), 0]);
    curves.push([key, samples.map((s) => s[key][j]), 0]);
    drawing.points = long;
    drawing.drawing.setAttribute("viewBox", `0 0 ${long - 1} 100`);
    drawing.span.textContent = `${Math.round((long * design.Ts) / 6) / 10} min`;
    const setpoint = key === "y" ? `, setpoint ${shown(end.setpoint[j])}` : "";
    draw(drawing, curves, `${shown(end[key][j])} ${drawing.signal.unit}${setpoint}`);
  });
  const flags = {};
  for (const { status } of samples)
    if (status) flags[status] = (flags[status] ?? 0) + 1;
  const words = Object.entries(flags).map(([status, count]) => `${count} × ${status}`);
  document.querySelector("#result .now").textContent = `${samples.length} samples`;
  document.querySelector("#result .status").textContent = words.join("; ") || "all optimal";
}

function figures(now, old) {
  const head = document.querySelector("#figures thead"),
    body = document.querySelector("#figures tbody");
  head.replaceChildren();
  body.replaceChildren();
  const names = element(head, "tr");
  const columns = ["", "IAE [·s]", "overshoot", "settling of each step [s]", "largest |offset|"];
  for (const name of columns)
    element(names, "th", name, { scope: "col" });
  const pair = (get, words = shown) => words(get(now)) + (old ? ` (${words(get(old))})` : "");
  design.outputs.forEach((s, j) => {
    const row = element(body, "tr");
    element(row, "th", `${s.name} [${s.unit}]`, { scope: "row" });
    const each = (key, words) => element(row, "td", pair((f) => f.outputs[j][key], words));
    each("iae");
    each("overshoot");
    each("settling", (list) => list.map((v) => v ?? "never").join(", "));
    each("offset");
  });
  design.inputs.forEach((s, j) => {
    const row = element(body, "tr");
    element(row, "th", `${s.name} [${s.unit}]`, { scope: "row" });
    element(row, "td", `travel ${pair((f) => f.travels[j])}`, { colspan: 4 });
  });
}

// -- writing -----------------------------------------------------------------------------------

async function write() {
  const answer = byId("answer"),
    numbers = control();
  try {
    const first = await send("difference", { control: numbers }),
      said = await first.json();
    if (!first.ok) throw new Error(said.error);
    if (!said.lines.length) { answer.textContent = "nothing differs from design.toml"; return; }
    if (!(await confirmed(`Write into design.toml of ${design.name}?`, said.lines))) return;
    const second = await send("write", { control: numbers, seen: said.seen }),
      now = await second.json();
    if (!second.ok) throw new Error(now.error);
    told(now);
    answer.textContent = "written into design.toml";
    soon();
  } catch (error) {
    answer.textContent = `not written: ${error.message}`;
  }
}

async function begin() {
  told(await (await fetch("state")).json());
  build(design);
  const place = document.querySelector("#result .signals");
  const add = (signals, key, kinds) => signals.forEach((s, j) => drawings.push({ drawing: trend(
      place, s, kinds, 200), key, j }));
  add(design.outputs, "y", ["y", "setpoint", "before"]);
  add(design.inputs, "u", ["u", "before"]);
  byId("back").addEventListener("click", () => { back();
    soon(); });
  byId("write").addEventListener("click", write);
  await run();
}
begin().catch((error) => { byId("link").textContent = `no connection: ${error.message}`;
  byId("link").className = "lost"; });