"use strict";

const $ = (id) => document.getElementById(id);
const FILTERS = {
  ct: ["CT slices", (one) => one.ct || one.verdict],
  open: ["without a decision", (one) => one.ct && !one.verdict && !refused.has(one.content)],
  unlabelled: ["without a label", (one) => one.ct && one.verdict !== "rejected" && !(one.label || one.suggested)],
  unsure: ["unsure", (one) => one.confidence < UNSURE],
  class0: ["first class", (one) => as(one) === state.classes[0]],
  class1: ["second class", (one) => as(one) === state.classes[1]],
  in: ["accepted", (one) => one.verdict && one.verdict !== "rejected"],
  rejected: ["rejected", (one) => one.verdict === "rejected"],
  other: ["no CT suggested", (one) => !one.ct],
  all: ["everything", () => true],
};
const GRIDS = [[2, 1], [1, 2], [2, 2], [3, 1], [1, 3], [3, 2], [2, 3]];
const POLL_MS = 2000;
const UNSURE = 0.75;
const MOST_TRIES = 60;

let state = { version: -1, items: [], papers: [], classes: ["", ""], counts: {} };
let shown = [];
let refused = new Set();
let now = null;
let detail = null;
let split = null;
let busy = Promise.resolve();

async function get(place) {
  const answer = await fetch(place, { cache: "no-store" });
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer.json();
}

function banner(text) {
  $("banner").textContent = text || "";
  $("banner").hidden = !text;
}

function say(text) {
  $("said").textContent = text;
}

function gone() {
  banner("The review is not running: nothing is kept. Start it again and open the address that it prints.");
}

async function load(focus) {
  const before = now;
  const place = shown.findIndex((one) => one.id === now);
  state = await get("state");
  document.title = `Review: ${state.title}`;
  $("title").textContent = state.title;
  state.classes.forEach((name, k) => { $("filter").querySelector(`[value=class${k}]`).textContent = name; });
  papers();
  choose();
  const has = (id) => shown.some((one) => one.id === id);
  const near = shown[Math.max(0, Math.min(place, shown.length - 1))];
  await show(has(focus) ? focus : has(before) ? before : near ? near.id : null, true);
}

function papers() {
  const chosen = $("paper").value;
  const listed = state.papers.map((one) => new Option(one.title ? `${one.stem}: ${one.title}` : one.stem, one.stem));
  $("paper").replaceChildren(new Option("all papers", ""), ...listed);
  $("paper").value = state.papers.some((one) => one.stem === chosen) ? chosen : "";
}

function choose() {
  refused = new Set(state.items.filter((one) => one.verdict === "rejected" && one.content).map((one) => one.content));
  const wanted = FILTERS[$("filter").value][1];
  const paper = $("paper").value;
  shown = state.items.filter((one) => wanted(one) && (!paper || one.paper === paper));
  strip();
  progress();
}

function progress() {
  const { decided, to_decide: all, rejected, relabelled } = state.counts;
  $("bar").max = Math.max(1, all);
  $("bar").value = decided;
  $("count").textContent = `${decided} of ${all} decided`;
  $("count").title = `${decided - rejected} in, ${relabelled} of them relabelled, ${rejected} rejected`;
}

function as(one) {
  if (!one.verdict && refused.has(one.content)) return null;
  return (one.ct || one.verdict) && one.verdict !== "rejected" ? one.label || one.suggested : null;
}

function standing(one) {
  if (!one.verdict) return refused.has(one.content) ? "out" : "";
  return one.verdict === "rejected" ? "out" : "in";
}

function told(one) {
  if (one.verdict === "rejected") return "rejected";
  const label = one.label || one.suggested;
  if (one.verdict) return `${one.verdict} as ${label}`;
  if (!one.ct) return "not taken: no CT suggested";
  if (refused.has(one.content)) return "not taken: the same picture was rejected";
  return label ? `suggested: ${label}` : "no label yet";
}

function strip() {
  const list = $("strip");
  const wanted = new Set(shown.map((one) => one.id));
  for (const item of [...list.children]) if (!wanted.has(idOf(item))) item.remove();
  const items = [...list.children];
  const same = items.length === shown.length && shown.every((one, k) => idOf(items[k]) === one.id);
  if (!same) list.replaceChildren(...shown.map(tile));
  redress();
}

function idOf(item) {
  return item.firstChild.dataset.id;
}

function tile(one) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.id = one.id;
  const image = document.createElement("img");
  image.loading = "lazy";
  image.alt = "";
  image.src = `thumbnail/${one.id}`;
  const words = document.createElement("span");
  button.append(image, words);
  button.addEventListener("click", () => act(() => (one.id === now ? grid(false) : show(one.id))));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function dress(button, one) {
  const look = [standing(one), one.id === now ? "now" : ""].join(" ").trim();
  const words = told(one);
  if (button.className === look && button.lastChild.textContent === words) return;
  button.className = look;
  button.lastChild.textContent = words;
  button.setAttribute("aria-label", `${one.name || one.id}, ${words}`);
  if (one.id === now) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

function redress() {
  [...$("strip").children].forEach((item, k) => dress(item.firstChild, shown[k]));
}

async function show(id, again) {
  if (id === now && !again) return;
  cancel();
  now = id;
  detail = id ? await get(`item/${id}`) : null;
  if (id !== now) return;
  $("none").hidden = Boolean(id);
  $("frame").hidden = !id;
  for (const part of ["meta", "right"]) $(part).style.visibility = id ? "visible" : "hidden";
  for (const button of $("actions").querySelectorAll("button")) button.disabled = !id && button.dataset.act !== "undo";
  redress();
  if (!id) return;
  const one = shown.find((item) => item.id === id) || detail;
  picture(one);
  words(one);
  page();
  const button = $("strip").querySelector(".now");
  if (button) button.scrollIntoView({ block: "nearest", inline: "center" });
}

function picture(one) {
  $("picture").src = `picture/${one.id}`;
  $("picture").alt = `Picture ${one.letter || ""} of ${one.figure || "a figure"}, page ${one.page} of ${one.paper}`;
  fit();
  $("badge").textContent = told(one);
  $("badge").className = standing(one);
  $("name").textContent = one.name;
  const index = shown.findIndex((item) => item.id === one.id);
  $("place").textContent = `${one.size[0]} × ${one.size[1]} px · ${index + 1} of ${shown.length} shown`;
  const label = one.label || one.suggested;
  $("as").textContent = label ? ` as ${label}` : "";
  state.classes.forEach((name, k) => { $(`class${k + 1}`).textContent = name; });
}

function fit() {
  if (!detail) return;
  const [width, height] = detail.size;
  const room = $("stage").getBoundingClientRect();
  const scale = Math.min((room.width - 8) / width, (room.height - 8) / height, 5);
  $("frame").style.width = `${Math.round(width * scale)}px`;
  $("frame").style.height = `${Math.round(height * scale)}px`;
}

function person(group) {
  return group.includes("/") ? group.slice(group.indexOf("/") + 1) : "nobody: the whole paper is one group";
}

function suggestion(name, given, value) {
  const term = document.createElement("dt");
  term.textContent = name;
  const description = document.createElement("dd");
  const strong = document.createElement("strong");
  strong.textContent = value || given.value || "nothing";
  const sure = document.createElement("span");
  sure.textContent = value ? " by eye" : given.value ? ` ${Math.round(100 * given.confidence)} %` : "";
  const reason = document.createElement("span");
  reason.className = "reason";
  reason.textContent = given.reason;
  description.append(strong, sure, reason);
  return [term, description];
}

function words(one) {
  const said = detail.suggestions;
  $("suggestions").replaceChildren(
    ...suggestion("Picture", said.ct),
    ...suggestion("Label", said.label, detail.label),
    ...suggestion("Patient", { ...said.patient, value: person(said.patient.value) }, detail.patient),
  );
  copies(one);
  const letter = one.letter ? `, panel ${one.letter}` : "";
  $("caption-title").textContent = `Caption${one.figure ? ` of ${one.figure}` : ""}${letter}`;
  $("caption").replaceChildren(...marked(detail.caption || "No caption was found."));
  const many = detail.mentions.length;
  $("mentions").hidden = !many;
  $("mentions").open = many > 0 && !(one.label || one.suggested);
  $("mentions").querySelector("summary").textContent = many === 1 ? "1 paragraph cites it" : `${many} paragraphs cite it`;
  $("mentions").querySelector("div").replaceChildren(...detail.mentions.map((text) => {
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    return paragraph;
  }));
}

function copies(one) {
  const same = one.content ? state.items.filter((other) => other.content === one.content && other.id !== one.id) : [];
  $("copies").hidden = !same.length;
  $("copies").replaceChildren("The same picture, pixel for pixel: ", ...same.map((other) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${other.name} (${told(other)})`;
    button.addEventListener("click", () => { reach(other.id); });
    return button;
  }));
}

function reach(id) {
  if (!shown.some((one) => one.id === id)) {
    $("filter").value = "all";
    $("paper").value = "";
    choose();
  }
  busy = busy.then(() => show(id)).catch(gone);
}

function marked(text) {
  const kind = new Array(text.length).fill("");
  for (const [from, to] of detail.spoken_of) kind.fill("panel", from, to);
  for (const [from, to] of detail.decisive) kind.fill("why", from, to);
  const parts = [];
  for (let at = 0, end = 0; at < text.length; at = end) {
    while (end < text.length && kind[end] === kind[at]) end += 1;
    const node = document.createElement(kind[at] ? "mark" : "span");
    if (kind[at] === "why") { node.className = "why"; node.title = "the suggested label rests on this"; }
    node.textContent = text.slice(at, end);
    parts.push(node);
  }
  return parts;
}

function page() {
  const paper = detail.paper_details;
  $("page-title").textContent = `Page ${detail.page} of ${paper.file}${paper.title ? `: ${paper.title}` : ""}`;
  $("page").src = $("page-link").href = `page/${detail.id}`;
  $("page").alt = `Page ${detail.page} with the picture marked`;
  const [x0, y0, x1, y1] = detail.page_box.map((value) => 100 * Math.min(1, Math.max(0, value)));
  Object.assign($("page-box").style, { left: `${x0}%`, top: `${y0}%`, width: `${x1 - x0}%`, height: `${y1 - y0}%` });
}

function walk(step) {
  const place = shown.findIndex((one) => one.id === now);
  const next = shown[Math.min(shown.length - 1, Math.max(0, place + step))];
  return next ? show(next.id) : null;
}

function row(step) {
  const items = [...$("strip").children];
  const here = items.find((one) => idOf(one) === now);
  const tops = [...new Set(items.map((one) => one.offsetTop))];
  const top = tops[tops.indexOf(here.offsetTop) + step];
  const there = items.filter((one) => one.offsetTop === top);
  const away = (one) => Math.abs(one.offsetLeft - here.offsetLeft);
  there.sort((a, b) => away(a) - away(b));
  return there.length ? show(idOf(there[0])) : null;
}

function grid(wanted = !document.body.classList.contains("grid")) {
  document.body.classList.toggle("grid", wanted);
  $("grid-button").setAttribute("aria-pressed", String(wanted));
  fit();
  const button = $("strip").querySelector(".now");
  if (button) button.scrollIntoView({ block: wanted ? "center" : "nearest", inline: "center" });
  if (!wanted) scrollTo(0, 0);
}

async function write() {
  say("Writing the dataset …");
  const ask = () => fetch("write", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
  let answer = await ask();
  for (let tries = 0; answer.status === 423 && tries < MOST_TRIES; tries += 1) {
    say("Waiting: another process writes the dataset …");
    await new Promise((done) => { setTimeout(done, 1000); });
    answer = await ask();
  }
  const found = await answer.json();
  say(answer.ok ? found.said : `Nothing was written: ${found.error}`);
}

function undecided() {
  const place = shown.findIndex((one) => one.id === now);
  const next = [...shown.slice(place + 1), ...shown.slice(0, Math.max(0, place))].find((one) => !one.verdict && !refused.has(one.content));
  if (next) return show(next.id);
  say("Every picture shown here is decided.");
  return null;
}

async function send(action, value, target = now) {
  const answer = await fetch("decide", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ version: state.version, action, target, value }),
  });
  const found = await answer.json();
  if (!answer.ok) {
    say(found.error);
    if (answer.status === 409) await load();
    return;
  }
  banner("");
  state.version = found.version;
  state.counts = found.counts;
  if (found.structure) {
    if (found.focus && !shown.some((one) => one.id === found.focus) && action === "undo") $("filter").value = "all";
    await load(found.focus);
    say({ undo: `Undone: ${found.undone}.`, split: "Split.", merge: "Merged." }[action]);
    return;
  }
  await settle(action, found.changed);
}

async function settle(action, changed) {
  const fresh = new Map(changed.map((one) => [one.id, one]));
  state.items = state.items.map((one) => (fresh.has(one.id) ? { ...fresh.get(one.id), name: one.name } : one));
  const place = shown.findIndex((one) => one.id === now);
  const one = state.items.find((item) => item.id === changed[0].id);
  say(action === "patient" ? (one.patient ? `Patient: ${one.patient}.` : "No patient named.") : `${one.name}: ${told(one)}.`);
  choose();
  const still = shown.findIndex((item) => item.id === now);
  const next = action === "patient" ? still : still >= 0 ? Math.min(still + 1, shown.length - 1) : Math.min(place, shown.length - 1);
  await show(shown[next] ? shown[next].id : null, true);
}

function merge() {
  const place = state.items.findIndex((one) => one.id === now);
  const next = state.items[place + 1];
  if (!next || next.whole !== state.items[place].whole) say("This is the last picture of its figure: nothing to merge with.");
  else return send("merge", next.id);
  return null;
}

function name() {
  $("patient-name").value = detail.patient || (detail.group.includes("/") ? person(detail.group) : "");
  $("patients").replaceChildren(...detail.patients.map((text) => new Option(text)));
  $("patient").showModal();
  $("patient-name").select();
}

async function cut() {
  grid(false);
  if (split) {
    split.which = (split.which + 1) % split.ways.length;
  } else {
    const id = now;
    say("Looking for gutters …");
    const { boxes } = await get(`cuts/${id}`);
    if (id !== now) return;
    say("");
    const grids = GRIDS.map(([across, down]) => ({ across, down, x: 0, y: 0 }));
    split = { ways: boxes.length ? [{ boxes }, ...grids] : grids, which: 0 };
  }
  draw();
}

function pieces() {
  const way = split.ways[split.which];
  if (way.boxes) return way.boxes;
  const [x0, y0, x1, y1] = detail.pixels;
  const lines = (from, to, count, moved) => Array.from({ length: count + 1 }, (_, k) =>
    Math.round(from + ((to - from) * k) / count + (k > 0 && k < count ? moved : 0)));
  const xs = lines(x0, x1, way.across, way.x);
  const ys = lines(y0, y1, way.down, way.y);
  return ys.slice(1).flatMap((y, row) => xs.slice(1).map((x, column) => [xs[column], ys[row], x, y]));
}

function draw() {
  const [x0, y0, x1, y1] = detail.pixels;
  const found = pieces();
  $("cuts").replaceChildren(...found.map((box) => {
    const mark = document.createElement("i");
    Object.assign(mark.style, {
      left: `${(100 * (box[0] - x0)) / (x1 - x0)}%`, top: `${(100 * (box[1] - y0)) / (y1 - y0)}%`,
      width: `${(100 * (box[2] - box[0])) / (x1 - x0)}%`, height: `${(100 * (box[3] - box[1])) / (y1 - y0)}%`,
    });
    return mark;
  }));
  const way = split.ways[split.which];
  const how = way.boxes ? `${found.length} pictures at the gutters that were found` : `${way.across} × ${way.down}; arrows move the cuts`;
  $("split-said").textContent = `Split into ${how}. Way ${split.which + 1} of ${split.ways.length}.`;
  $("actions").hidden = true;
  $("split-bar").hidden = false;
}

function cancel() {
  split = null;
  $("cuts").replaceChildren();
  $("actions").hidden = false;
  $("split-bar").hidden = true;
}

function confirmed() {
  const boxes = pieces();
  cancel();
  return send("split", boxes);
}

function move(key) {
  const way = split.ways[split.which];
  if (way.boxes) return;
  const step = Math.max(1, Math.round((key === "ArrowLeft" || key === "ArrowRight" ? detail.size[0] : detail.size[1]) / 100));
  if (key === "ArrowLeft") way.x -= step;
  if (key === "ArrowRight") way.x += step;
  if (key === "ArrowUp") way.y -= step;
  if (key === "ArrowDown") way.y += step;
  draw();
}

const ACTS = {
  accept: () => send("accept"),
  reject: () => send("reject"),
  label1: () => send("label", state.classes[0]),
  label2: () => send("label", state.classes[1]),
  patient: name,
  split: cut,
  other: cut,
  merge,
  undo: () => send("undo", undefined, ""),
  previous: () => walk(-1),
  next: () => walk(1),
  confirm: confirmed,
  cancel,
  undecided,
  write: () => { write().catch(gone); },
  grid: () => grid(),
  one: () => grid(false),
  up: () => row(-1),
  down: () => row(1),
  help: () => $("help").showModal(),
};
const KEYS = {
  a: "accept", r: "reject", 1: "label1", 2: "label2", p: "patient", s: "split", m: "merge", u: "undo", n: "undecided", g: "grid", w: "write",
  ArrowRight: "next", j: "next", ArrowLeft: "previous", k: "previous", "?": "help",
};
const GRID_KEYS = { ArrowUp: "up", ArrowDown: "down", Enter: "one", Escape: "one" };
const WITHOUT_PICTURE = new Set(["undo", "help", "write", "grid", "one"]);

function act(what) {
  if (now || WITHOUT_PICTURE.has(what)) busy = busy.then(ACTS[what] || what).catch(gone);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (["INPUT", "SELECT"].includes(event.target.tagName)) return;
  const onButton = event.target.tagName === "BUTTON" && (event.key === "Enter" || event.key === " ");
  if (split && !onButton) {
    const what = { Enter: "confirm", Escape: "cancel", s: "other" }[event.key];
    if (what) act(what);
    else if (event.key.startsWith("Arrow")) move(event.key);
    else return;
    event.preventDefault();
    return;
  }
  const what = KEYS[event.key] || (document.body.classList.contains("grid") ? GRID_KEYS[event.key] : null);
  if (what && !onButton && (!event.repeat || ["next", "previous", "up", "down"].includes(what))) {
    event.preventDefault();
    act(what);
  }
});

for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", () => act(button.dataset.act));
$("help-button").addEventListener("click", ACTS.help);
$("patient-cancel").addEventListener("click", () => $("patient").close());
$("patient-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("patient").close();
  const value = $("patient-name").value;
  busy = busy.then(() => send("patient", value)).catch(gone);
});
for (const id of ["filter", "paper"]) {
  $(id).addEventListener("change", () => {
    choose();
    const here = shown.find((one) => one.id === now) || shown[0];
    show(here ? here.id : null, true);
    $(id).blur();
  });
}
addEventListener("resize", fit);

async function watch() {
  if (!document.hidden) {
    try {
      const { version } = await get("version");
      banner("");
      if (version !== state.version) {
        busy = busy.then(() => (version === state.version ? null : load())).catch(gone);
        await busy;
      }
    } catch {
      gone();
    }
  }
  setTimeout(watch, POLL_MS);
}

$("filter").replaceChildren(...Object.entries(FILTERS).map(([value, [text]]) => new Option(text, value)));
busy = load().then(() => {
  if (state.cut_off) say("The last write of the dataset was cut off: write it again, by w.");
  watch();
}, gone);
