// The operations view: is it healthy, how fast is it, what is behind. From /health/ready and this gateway's /metrics.

import { byId, make, setText } from "./dom.js";
import { bytes, duration, plain, short } from "./format.js";
import { parseMetrics, quantile, samples, sum } from "./prometheus.js";
import { state } from "./state.js";

const EVERY_MS = 2_000;
const SEEN_MS = 60_000;
const STALE_SNAPSHOT_S = 3_600;
const BEHIND_FRAMES = 1_000;
const CODE_WORDS = { "-1002": "no right, or not signed in", "-1003": "too many requests", "-1008": "overloaded", "-2015": "wrong API key" };
const STAGES = ["accepted", "matched", "settled"];

let timer = 0;
/** What was seen in the last minute, oldest first. */
let seen = [];

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
    const [health, metrics] = await Promise.all([readHealth(), readMetrics()]);
    const now = { at: performance.now(), metrics };
    // At first there is nothing to compare with: latencies are then those since the start.
    show(health, now, seen[0] ?? { at: now.at, metrics: new Map() });
    seen = [...seen.filter((one) => now.at - one.at < SEEN_MS), now];
  } catch {
    byId("ops").replaceChildren(banner("bad", "The gateway does not answer", "Is the exchange running? This view tries again by itself."));
  }
  if (timer === -1) timer = setTimeout(look, EVERY_MS);
}

async function readHealth() {
  const response = await fetch("/health/ready", { cache: "no-store", signal: AbortSignal.timeout(10_000) });
  return response.json();
}

async function readMetrics() {
  const response = await fetch("/metrics", { cache: "no-store", signal: AbortSignal.timeout(10_000) });
  return parseMetrics(await response.text());
}

function show(health, now, then) {
  const components = Object.entries(health.components);
  const wrong = components.filter(([, status]) => status !== "running");
  const closed = [...state.symbols.values()].filter((one) => one.status !== "Trading");
  byId("ops").replaceChildren(
    verdict(health, wrong, closed),
    tiles(now, then),
    panel("Components", "", table(["Component", "State"], components.map(([name, status]) => [name, stateCell(status === "running" ? "good" : "bad", status)]))),
    marketsPanel(now.metrics),
    coresPanel(now, then),
    lagPanel(now.metrics),
    latencyPanel(now, then),
    requestsPanel(now, then),
    panel("What this view sees", "full", make("p", { class: "ops-note" }, scopeNote(now.metrics))),
  );
}

function verdict(health, wrong, closed) {
  if (health.status !== "ready") {
    return banner("bad", "Not ready", wrong.map(([name, status]) => `${name}: ${status}`).join("; ") || "Commands are not taken at the moment.");
  }
  if (closed.length) return banner("some", "Ready, with markets closed", closed.map((one) => `${one.name} is ${one.status}`).join("; "));
  return banner("good", "Ready", "Every component runs, and commands are answered.");
}

const MARKS = { good: ["up", "✓"], some: ["warn", "◆"], bad: ["down", "■"] };

function banner(kind, title, text) {
  // Read out when it changes, and not every two seconds.
  setText(byId("say"), `${title}. ${text}`);
  const [colour, sign] = MARKS[kind];
  const mark = make("span", { class: `mark ${colour}`, "aria-hidden": "true" }, sign);
  return make("section", { class: "panel full banner" }, mark, make("div", {}, make("h2", {}, title), make("p", { class: "muted" }, text)));
}

const rate = (now, then, name, labels) => {
  const seconds = (now.at - then.at) / 1_000;
  return seconds > 0 ? Math.max(0, sum(now.metrics, name, labels) - sum(then.metrics, name, labels)) / seconds : null;
};
const perSecond = (value) => (value === null ? "–" : `${plain(value, 0, value < 10 ? 1 : 0)}/s`);

function tiles(now, then) {
  const { metrics } = now;
  const start = sum(metrics, "process_start_time_seconds");
  const resident = sum(metrics, "process_resident_memory_bytes");
  const command = quantile(metrics, then.metrics, "exchange_gateway_command_seconds", 0.99);
  const found = [
    ["Requests", perSecond(rate(now, then, "exchange_gateway_requests_total"))],
    ["Trades", perSecond(rate(now, then, "exchange_trades_total"))],
    ["Commands in flight", plain(sum(metrics, "exchange_gateway_commands_in_flight"))],
    ["Command, 99 %", command === null ? "–" : duration(command)],
    ["Memory", resident ? bytes(resident) : "–"],
    ["Up for", start ? duration(Date.now() / 1_000 - start) : "–"],
  ];
  return make("dl", { class: "tiles" }, ...found.map(([name, value]) => make("div", { class: "tile" }, make("dt", {}, name), make("dd", {}, value))));
}

function panel(title, kind, content) {
  return make("section", { class: `panel ${kind}` }, make("div", { class: "panel-head" }, make("h2", {}, title)), make("div", { class: "scroll" }, content));
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

function marketsPanel(metrics) {
  const rows = [...state.symbols.values()]
    .sort((one, other) => (one.status === "Trading") - (other.status === "Trading"))
    .map((one) => [
      one.name.replace("_", "/"),
      stateCell(one.status === "Trading" ? "good" : one.status === "Halted" ? "bad" : "some", one.status),
      state.prices.has(one.name) ? plain(state.prices.get(one.name)) : "–",
      plain(sum(metrics, "exchange_trades_total", { symbol: one.name })),
    ]);
  return panel("Markets", "", table(["Market", "State", "Last price", "Trades"], rows, "No markets yet. An administrator makes one with PUT /api/admin/symbols/{name}."));
}

function coresPanel(now, then) {
  const { metrics } = now;
  const rows = samples(metrics, "exchange_snapshot_age_seconds").map(({ labels: { source }, value }) => {
    const active = sum(metrics, "exchange_core_active", { source }) > 0;
    const flush = quantile(metrics, then.metrics, "exchange_journal_flush_seconds", 0.99, { source });
    return [
      source,
      stateCell(active ? "good" : "some", active ? "active" : "standby"),
      value > STALE_SNAPSHOT_S ? make("span", { class: "warn" }, `${duration(value)} ◆`) : duration(value),
      bytes(sum(metrics, "exchange_journal_bytes", { source })),
      flush === null ? "–" : duration(flush),
    ];
  });
  return panel("Cores", "", table(["Core", "State", "Last snapshot", "Journal", "Flush, 99 %"], rows, "The cores run in processes of their own, with /metrics of their own: exchange top shows them."));
}

function lagPanel(metrics) {
  const rows = samples(metrics, "exchange_lag_frames").map(({ labels, value }) => {
    const kind = value > BEHIND_FRAMES ? "bad" : value > 0 ? "some" : "good";
    return [labels.reader, `${labels.topic}-${labels.partition}`, stateCell(kind, value ? `${plain(value)} frames` : "none")];
  });
  return panel("Lag", "", table(["Reader", "Log", "Behind by"], rows, "This process reads no log whose lag it counts.", 3));
}

function latencyPanel(now, then) {
  const name = "exchange_order_stage_seconds";
  const known = new Set(samples(now.metrics, `${name}_count`).map((one) => one.labels.stage));
  const cell = (stage, part) => {
    const found = quantile(now.metrics, then.metrics, name, part, { stage });
    return found === null ? "–" : duration(found);
  };
  const rows = STAGES.filter((stage) => known.has(stage)).map((stage) => [`order ${stage}`, cell(stage, 0.5), cell(stage, 0.99)]);
  const topics = new Set(samples(now.metrics, "exchange_freshness_seconds_count").map((one) => one.labels.reader));
  for (const reader of topics) {
    const fresh = (part) => quantile(now.metrics, then.metrics, "exchange_freshness_seconds", part, { reader });
    const shown = [0.5, 0.99].map((part) => (fresh(part) === null ? "–" : duration(fresh(part))));
    rows.push([`in the store: ${reader}`, ...shown]);
  }
  return panel("From request to…", "", table(["Stage", "Half within", "99 % within"], rows, "No orders were timed in this process.", 1));
}

function requestsPanel(now, then) {
  const refused = new Map();
  for (const { labels, value } of samples(now.metrics, "exchange_gateway_refused_total")) {
    const name = labels.reject || CODE_WORDS[labels.code] || `code ${labels.code}`;
    refused.set(name, (refused.get(name) ?? 0) + value);
  }
  const rows = [...refused].sort((one, other) => other[1] - one[1]).slice(0, 8).map(([name, count]) => [name, plain(count)]);
  const all = sum(now.metrics, "exchange_gateway_requests_total");
  return panel(`Refused, of ${short(all)} requests`, "", table(["Why", "Since the start"], rows, "Nothing was refused since the start.", 1));
}

function scopeNote(metrics) {
  const version = samples(metrics, "exchange_build_info")[0]?.labels.version ?? "?";
  const whole = samples(metrics, "exchange_snapshot_age_seconds").length > 0;
  const seen = whole
    ? "The whole exchange runs in this process, so these are the figures of all services."
    : "These are the figures of the gateway that served this page. The other services have /metrics of their own: exchange top shows all of them together.";
  return `${seen} Version ${version}. Rates and latencies are of the last minute, or since the start when this view was just opened; “–” means that nothing happened.`;
}
