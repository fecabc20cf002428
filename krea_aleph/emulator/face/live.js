"use strict";

// A look each second while something moves, fewer while nothing does, none while nobody watches.
const BUSY = 1000, QUIET = 2000, AWAY = 5000;
const byId = (id) => document.getElementById(id);
let timer = 0, looking = false, menu = null, last = "", life = null;

/* Text of strangers goes into the page as text, by this function alone. */
function make(name, facts = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(facts)) {
    if (key in node) node[key] = value; else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}
const words = (text) => make("bdi", { textContent: text });

async function ask(path, body) {
  const how = body === undefined ? {} : {
    method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" },
  };
  const answer = await fetch(path, { cache: "no-store", ...how });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

async function look() {
  clearTimeout(timer);
  if (document.hidden || looking) return;
  looking = true;
  let pause = AWAY;
  try {
    menu ??= fill(await ask("/_emulator/menu"));
    pause = show(await ask("/_emulator/state")) ? BUSY : QUIET;
    say("");
  } catch {
    say("The emulator does not answer. It will be asked again.");
  }
  looking = false;
  timer = setTimeout(look, pause);
}

async function act(path, body) {
  try {
    show(await ask(path, body));
    say("");
  } catch (error) {
    say(error.message);
  }
}

function say(problem) {
  const text = problem || "Connected.";
  const state = byId("state");
  state.className = problem ? "bad" : "good";
  if (state.textContent !== text) state.textContent = text;
}

/* What there is to choose from: asked once. */
function fill(found) {
  const [presets, operations] = [byId("faults").preset, byId("faults").operation];
  for (const { id, words: text } of found.presets) presets.append(new Option(text, id));
  for (const name of found.operations) {
    operations.append(new Option(name === "*" ? "any call" : name, name));
  }
  const chosen = () => {
    const only = found.presets.find(({ id }) => id === presets.value).only;
    operations.disabled = only !== null;
    if (only !== null) operations.value = only;
  };
  presets.addEventListener("change", chosen);
  operations.value = found.operations.find((name) => name.startsWith("create")) ?? "*";
  for (const { name, words: text } of found.quirks) {
    const box = make("input", { type: "checkbox", name });
    box.addEventListener("change", () => act("/_emulator/quirks", { name, on: box.checked }));
    byId("quirks").append(make("li", {}, make("label", {}, box, make("span", { textContent: text }))));
  }
  byId("markers").textContent = found.markers.join(" ");
  return found;
}

function show(state) {
  const { now, ...rest } = state;
  // Another emulator has come to this address: its numbers begin again, and its menu may differ.
  if (life !== null && life !== state.life) location.reload();
  life = state.life;
  const moves = state.jobs.some((job) => !job.finished);
  byId("facts").textContent =
    `${state.accepted} jobs accepted. ${state.virtual ? "Time is virtual: " : ""}${clock(now)}`;
  const told = JSON.stringify(rest);
  if (told !== last) {
    last = told;
    showJobs(state.jobs);
    showFaults(state.faults);
    showQuirks(new Set(state.quirks));
    showLines(state.key);
    showRequests(state.requests);
  }
  return moves;
}

const clock = (at) => new Date(at * 1000).toISOString().slice(11, 19);

/* Each job keeps its element, so that a video goes on playing while others change. */
function showJobs(jobs) {
  byId("no-jobs").hidden = jobs.length > 0;
  keep(byId("jobs"), jobs, "id", newJob, (node, job) => {
    const part = (name) => node.querySelector(`.${name}`);
    part("status").textContent = job.status;
    part("reason").textContent = job.reason;
    part("note").textContent = job.note;
    part("share").value = job.share;
    part("share").hidden = job.finished;
    const pair = part("pair");
    if (!pair.childElementCount && (job.before || job.after.length)) {
      if (job.before) pair.append(film(job.before, "before"));
    }
    if (job.after.length && !pair.querySelector("[data-after]")) {
      for (const address of job.after) pair.append(film(address, "after"));
      if (pair.childElementCount > 1) part("both").hidden = false;
    }
  });
}

function newJob(job) {
  const both = make("button", { type: "button", className: "both", textContent: "Play both", hidden: true });
  const node = make("li", {},
    make("p", { className: "prompt" }, words(job.prompt)),
    make("p", {}, make("bdi", { className: "status" }), " · ",
      make("span", { className: "dim" }, words(job.input), ` · ${clock(job.created)} · ${job.id}`)),
    make("p", { className: "bad" }, make("bdi", { className: "reason" })),
    make("progress", { className: "share", max: 1, "aria-label": `Progress of ${job.id}` }),
    make("div", { className: "pair" }), both,
    make("p", { className: "dim note" }));
  both.addEventListener("click", () => {
    for (const clip of node.querySelectorAll("video")) {
      clip.currentTime = 0;
      clip.play().catch(() => {});
    }
  });
  return node;
}

function film(address, name) {
  const clip = make("video", {
    controls: true, muted: true, loop: true, playsInline: true, preload: "metadata", src: address,
    "aria-label": name,
  });
  const figure = make("figure", {}, clip, make("figcaption", { textContent: name }));
  if (name === "after") figure.dataset.after = "";
  clip.addEventListener("error", () => clip.replaceWith(make("p", { className: "dim", textContent: "This file cannot be played." })));
  return figure;
}

function showFaults(faults) {
  byId("no-faults").hidden = faults.length > 0;
  byId("all-off").hidden = faults.length === 0;
  keep(byId("standing"), faults, "number", ({ number, words: text, operation, times, every }) => {
    const off = make("button", { type: "button", textContent: "Off", "aria-label": `Switch off: ${text}` });
    off.addEventListener("click", () => act("/_emulator/faults/off", { number }));
    const often = `${every ? `1 of ${every} calls, ` : ""}${times === null ? "no end" : times === 1 ? "once" : `${times} times`}`;
    return make("li", {}, make("span", {}, words(text), ` (${operation}, ${often}; `,
      make("span", { className: "hits" }), " so far)"), off);
  }, (node, { hits }) => { node.querySelector(".hits").textContent = hits; });
}

function showQuirks(on) {
  for (const box of byId("quirks").querySelectorAll("input")) box.checked = on.has(box.name);
}

function showRequests(requests) {
  keep(byId("requests"), requests, "number", ({ at, method, path, operation, fault }) =>
    make("tr", {}, make("td", { textContent: clock(at) }),
      make("td", {}, words(`${method} ${path}`), operation ? ` (${operation})` : ""),
      make("td", { className: "answer" }), make("td", {}, words(fault ?? ""))),
  (node, { status, fault }) => {
    const cell = node.querySelector(".answer");
    cell.textContent = status ?? "none";
    cell.classList.toggle("bad", status === null || status >= 400 || fault !== null);
  });
}

/* Lines for a shell, which change with the key. */
function showLines(key) {
  if (byId("lines").dataset.key === key) return;
  byId("lines").dataset.key = key;
  const base = menu.base_url;
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const head = quoted(`Authorization: Bearer ${key}`);
  const job = (prompt) => `curl -s ${quoted(base + menu.submit)} -H ${head} ` +
    `-H 'Content-Type: application/json' -d ${quoted(JSON.stringify({ init_video: "https://example.com/in.mp4", prompt }))}`;
  const lines = [
    `export KREA_BASE_URL=${quoted(base)} KREA_API_KEY=${quoted(key)}`,
    "krea-aleph run in.mp4 'make it snow' -o out.mp4",
    job("make it snow"), job("a quiet street [nsfw]"),
    `curl -s ${quoted(`${base}/jobs?limit=5`)} -H ${head}`,
  ];
  byId("lines").replaceChildren(...lines.map((line) => {
    const copy = make("button", { type: "button", textContent: "Copy", "aria-label": `Copy: ${line.slice(0, 60)}` });
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(line).then(() => { copy.textContent = "Copied"; }, () => getSelection().selectAllChildren(copy.previousSibling));
    });
    return make("div", { className: "line" }, make("code", { textContent: line }), copy);
  }));
}

/* Bring the children of a list into order, touching only what has changed. */
function keep(list, items, key, fresh, update) {
  const wanted = new Set(items.map((item) => String(item[key])));
  for (const node of [...list.children]) if (!wanted.has(node.dataset.key)) node.remove();
  const there = new Map([...list.children].map((node) => [node.dataset.key, node]));
  let place = null;
  for (const item of items.toReversed()) {
    const name = String(item[key]);
    let node = there.get(name);
    if (node === undefined) {
      node = fresh(item);
      node.dataset.key = name;
    }
    if (node.parentNode !== list || node.nextElementSibling !== place) list.insertBefore(node, place);
    update(node, item);
    place = node;
  }
}

byId("faults").addEventListener("submit", (event) => {
  event.preventDefault();
  const { preset, operation, often } = event.target;
  const every = often.value === "every" ? 2 : null;
  const times = ["every", "always"].includes(often.value) ? null : Number(often.value);
  act("/_emulator/faults", { preset: preset.value, operation: operation.value, times, every });
});
byId("all-off").addEventListener("click", () => act("/_emulator/faults/off", {}));
document.addEventListener("visibilitychange", look);
look();
