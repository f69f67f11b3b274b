// The operations view: is everything well, how fast is it, what is behind. One answer of the gateway says it all.

import { get } from "./api.js";
import { byId, make, setText } from "./dom.js";
import { bytes, duration, plain, short } from "./format.js";
import { state } from "./state.js";

const EVERY_MS = 2_000;
const STALE_SNAPSHOT_S = 3_600;
const BEHIND_FRAMES = 1_000;
const MOST_REFUSED = 8;
const CODE_WORDS = { "-1002": "no right, or not signed in", "-1003": "too many requests", "-1008": "overloaded", "-2015": "wrong API key" };
const KINDS = { ready: "good", "not ready": "some", "does not answer": "bad" };

let timer = 0;

/** Look again and again, until `stopOperations`. */
export function startOperations() {
  clearTimeout(timer);
  look();
}

export function stopOperations() {
  clearTimeout(timer);
  timer = 0;
}

async function look() {
  timer = -1;
  try {
    const path = state.caller?.scopes.includes("admin") ? "/api/admin/operations" : "/api/operations";
    show(await get(path));
  } catch (refusal) {
    byId("ops").replaceChildren(banner("bad", "No figures", `${refusal.message} This view tries again by itself.`));
  }
  if (timer === -1) timer = setTimeout(look, EVERY_MS);
}

function show(seen) {
  byId("ops").replaceChildren(
    verdict(seen),
    tiles(seen.flow),
    servicesPanel(seen),
    marketsPanel(seen.trades),
    coresPanel(seen),
    lagPanel(seen),
    latencyPanel(seen.latencies),
    refusedPanel(seen),
  );
}

function verdict({ processes, whole }) {
  const wrong = processes.filter((one) => one.state !== "ready");
  if (wrong.length) {
    const ready = processes[0].state === "ready";
    const bad = !ready || wrong.some((one) => KINDS[one.state] === "bad");
    return banner(bad ? "bad" : "some", ready ? "Ready, but not all is well" : "Not ready", wrong.map((one) => `${one.name} ${one.state}: ${one.says}`).join("; "));
  }
  const closed = [...state.symbols.values()].filter((one) => one.status !== "Trading");
  if (closed.length) return banner("some", "Ready, with markets closed", closed.map((one) => `${one.name} is ${one.status}`).join("; "));
  return banner("good", "Ready", whole ? "Every service runs, and commands are answered." : "This gateway runs, and commands are answered.");
}

const MARKS = { good: ["up", "✓"], some: ["warn", "◆"], bad: ["down", "■"] };

function banner(kind, title, text) {
  // Read out when it changes, and not every two seconds.
  setText(byId("say"), `${title}. ${text}`);
  const [colour, sign] = MARKS[kind];
  const mark = make("span", { class: `mark ${colour}`, "aria-hidden": "true" }, sign);
  return make("section", { class: "panel full banner" }, mark, make("div", {}, make("h2", {}, title), make("p", { class: "muted" }, text)));
}

const perSecond = (value) => (value === null ? "–" : `${plain(value, 0, value < 10 ? 1 : 0)}/s`);
const seconds = (value) => (value === null ? "–" : duration(value));

function tiles(flow) {
  const found = [
    ["Requests", perSecond(flow.requests_per_second)],
    ["Trades", perSecond(flow.trades_per_second)],
    ["Commands in flight", plain(flow.commands_in_flight)],
    ["Command, 99 %", seconds(flow.command_p99_seconds)],
  ];
  return make("dl", { class: "tiles" }, ...found.map(([name, value]) => make("div", { class: "tile" }, make("dt", {}, name), make("dd", {}, value))));
}

function panel(title, kind, ...content) {
  return make("section", { class: `panel ${kind}` }, make("div", { class: "panel-head" }, make("h2", {}, title)), make("div", { class: "scroll" }, ...content));
}

/** The first `lefts` columns are words, the others numbers. */
function table(titles, rows, none = "", lefts = 2) {
  if (!rows.length) return make("p", { class: "empty" }, none);
  const kind = (column) => (column < lefts ? "left" : "");
  const head = make("tr", {}, ...titles.map((title, column) => make("th", { scope: "col", class: kind(column) }, title)));
  const body = rows.map((row) => make("tr", {}, ...row.map((cell, column) => make("td", { class: kind(column) }, cell))));
  return make("table", { class: "rows" }, make("thead", {}, head), make("tbody", {}, ...body));
}

const stateCell = (kind, text) => make("span", { class: `state ${kind}` }, text);

function servicesPanel({ processes, whole }) {
  const content = [table(["Service", "State", "What it says", "Memory", "Up for", "Version"], processes.flatMap(serviceRows), "", 3)];
  if (!whole) {
    content.push(make("p", { class: "ops-note" }, "This is the gateway alone. Sign in with a key that has scope admin to see all services."));
  }
  return panel("Services", "full", ...content);
}

/** A process that is several services, as a local exchange is, has a row for each. */
function serviceRows(one, _, { length }) {
  const rest = [
    one.memory_bytes ? bytes(one.memory_bytes) : "–",
    one.started_ms ? duration((Date.now() - one.started_ms) / 1_000) : "–",
    one.version ?? "–",
  ];
  const parts = Object.entries(one.components);
  if (length > 1 || !parts.length) {
    const role = one.components.role ?? "";
    return [[one.name, stateCell(KINDS[one.state], one.state), said(one.says || role), ...rest]];
  }
  return parts.map(([name, status], at) => {
    const runs = status === "running";
    return [name, stateCell(runs ? "good" : "bad", runs ? "ready" : "not ready"), said(status), ...(at ? ["", "", ""] : rest)];
  });
}

const said = (text) => make("span", { class: "said" }, text);

function marketsPanel(trades) {
  const rows = [...state.symbols.values()]
    .sort((one, other) => (one.status === "Trading") - (other.status === "Trading"))
    .map((one) => [
      one.name.replace("_", "/"),
      stateCell(one.status === "Trading" ? "good" : one.status === "Halted" ? "bad" : "some", one.status),
      state.prices.has(one.name) ? plain(state.prices.get(one.name)) : "–",
      one.name in trades ? plain(trades[one.name]) : "–",
    ]);
  return panel("Markets", "", table(["Market", "State", "Last price", "Trades"], rows, "No markets yet. An administrator makes one with PUT /api/admin/symbols/{name}."));
}

function coresPanel({ cores }) {
  const rows = cores.map((core) => [
    core.source,
    stateCell(core.role === "active" ? "good" : "some", core.role),
    core.snapshot_age_seconds > STALE_SNAPSHOT_S
      ? make("span", { class: "warn" }, `${duration(core.snapshot_age_seconds)} ◆`)
      : duration(core.snapshot_age_seconds),
    bytes(core.journal_bytes),
    seconds(core.flush_p99_seconds),
  ]);
  return panel("Cores", "", table(["Core", "State", "Last snapshot", "Journal", "Flush, 99 %"], rows, "No core is seen from here."));
}

function lagPanel({ lag, processes }) {
  const several = processes.length > 1;
  const rows = lag.map((row) => {
    const kind = row.frames > BEHIND_FRAMES ? "bad" : row.frames > 0 ? "some" : "good";
    const reader = several && row.process !== row.reader ? `${row.reader} (${row.process})` : row.reader;
    return [reader, `${row.topic}-${row.partition}`, stateCell(kind, row.frames ? `${plain(row.frames)} frames` : "none")];
  });
  return panel("Lag", "", table(["Reader", "Log", "Behind by"], rows, "No reader is seen from here.", 3));
}

function latencyPanel(latencies) {
  const rows = latencies.map((row) => [row.stage, seconds(row.p50_seconds), seconds(row.p99_seconds)]);
  return panel("From request to…", "", table(["Stage", "Half within", "99 % within"], rows, "No orders were timed yet.", 1));
}

function refusedPanel({ refused, flow }) {
  const counts = new Map();
  for (const { code, reject, count } of refused) {
    const why = reject || CODE_WORDS[code] || `code ${code}`;
    counts.set(why, (counts.get(why) ?? 0) + count);
  }
  const rows = [...counts].sort((one, other) => other[1] - one[1]).slice(0, MOST_REFUSED).map(([why, count]) => [why, plain(count)]);
  return panel(`Refused, of ${short(flow.requests)} requests`, "full", table(["Why", "Since the start"], rows, "Nothing was refused since the start.", 1));
}
