// The candle chart. Rising candles are hollow and falling ones are full, so that colour is not all that tells them.

import { INTERVALS, candlesOf, niceSteps } from "./candles.js";
import { byId, make, oncePerFrame } from "./dom.js";
import { change, clock, decimalsOf, fixed, moment, plain, short } from "./format.js";
import { market, state, watch } from "./state.js";

const LEAST_STEP = 9;
const MOST_STEP = 15;
const AXIS_HEIGHT = 22;
const VOLUME_PART = 0.17;
const LABEL_WIDTH = 84;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Between two labels of the time axis. */
const TIME_STEPS = [
  5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 84 * DAY,
];
const NAMES = ["text", "muted", "line", "buy", "sell", "accent", "panel"];

let lengthMs = MINUTE;
let pointed = null;
let candles = [];
let place = null;
let colours = {};
let draw = () => {};

export function startChart() {
  const canvas = byId("chart");
  draw = oncePerFrame(() => paint(canvas));
  makeIntervals();
  watch(["trades", "symbol", "symbols", "account"], draw);
  new ResizeObserver(draw).observe(canvas);
  canvas.addEventListener("pointermove", (event) => point(place ? place.at(event.offsetX) : null));
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("blur", () => point(null));
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined || !candles.length) return;
    event.preventDefault();
    const from = pointed ?? candles.length;
    point(Math.min(candles.length - 1, Math.max(0, from + by)));
  });
}

/** After the theme has changed. */
export function recolour() {
  colours = {};
  draw();
}

function makeIntervals() {
  const group = byId("intervals");
  for (const [name, length] of INTERVALS) {
    const input = make("input", { type: "radio", name: "interval", value: name, change: () => choose(length) });
    input.checked = length === lengthMs;
    group.append(make("label", {}, input, make("span", {}, name)));
  }
}

function choose(length) {
  lengthMs = length;
  pointed = null;
  draw();
}

function point(at) {
  const next = at === null || at < 0 || at >= candles.length ? null : at;
  if (next === pointed) return;
  pointed = next;
  draw();
}

function readColours(canvas) {
  for (const name of NAMES) {
    canvas.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(canvas).color;
  }
  canvas.style.color = "";
}

function paint(canvas) {
  const settings = market();
  if (!settings || !canvas.clientWidth) return;
  if (!colours.text) readColours(canvas);
  const scale = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  pen.textBaseline = "middle";
  const decimals = decimalsOf(settings.tick_size);
  const newest = state.trades.at(-1);
  const axisWidth = newest ? Math.ceil(pen.measureText(fixed(newest.price, decimals)).width) + 18 : 0;
  candles = candlesOf(state.trades, lengthMs, Math.max(1, Math.floor((width - axisWidth) / LEAST_STEP) - 2));
  showEmpty(settings);
  place = candles.length ? view(width, height, axisWidth) : null;
  if (place) paintAll(pen, decimals);
  describe(canvas, decimals);
}

function showEmpty(settings) {
  const empty = byId("chart-empty");
  empty.hidden = candles.length > 0;
  empty.replaceChildren(
    make("strong", {}, `${settings.name.replace("_", "/")} has not traded yet`),
    "Place the first orders: as soon as a buy meets a sell, its candle is drawn here.",
  );
}

/** Where everything is: pixels of prices, candles and volumes. */
function view(width, height, axisWidth) {
  const low = Math.min(...candles.map((candle) => candle.low));
  const high = Math.max(...candles.map((candle) => candle.high));
  const margin = (high - low) * 0.08 || Math.max(high * 0.001, 1e-8);
  const [bottom, top] = [low - margin, high + margin];
  const right = width - axisWidth;
  const step = Math.min(MOST_STEP, Math.max(LEAST_STEP, Math.floor((right - 20) / candles.length)));
  const floor = height - AXIS_HEIGHT;
  const volumeTop = floor * (1 - VOLUME_PART);
  const priceBottom = volumeTop - 6;
  const most = Math.max(...candles.map((candle) => candle.volume)) || 1;
  return {
    width, height, floor, volumeTop, bottom, top,
    right, step,
    body: Math.max(6, Math.round(step * 0.31) * 2),
    x: (at) => right - 10 - (candles.length - at - 0.5) * step,
    at: (x) => Math.floor((x - right + 10) / step) + candles.length,
    y: (price) => 6 + ((top - price) / (top - bottom)) * (priceBottom - 6),
    volume: (volume) => (volume / most) * (floor - volumeTop),
  };
}

function paintAll(pen, decimals) {
  paintGrid(pen, decimals);
  candles.forEach((candle, at) => paintCandle(pen, candle, at));
  paintOwnOrders(pen);
  paintLast(pen, decimals);
  if (pointed !== null && pointed < candles.length) paintPointer(pen);
}

const crisp = (pixel) => Math.round(pixel) + 0.5;

function stroke(pen, colour, points, dash = []) {
  pen.strokeStyle = colour;
  pen.setLineDash(dash);
  pen.beginPath();
  points.forEach(([x, y], at) => (at ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
  pen.setLineDash([]);
}

function paintGrid(pen, decimals) {
  const wanted = Math.max(2, Math.floor(place.volumeTop / 52));
  pen.lineWidth = 1;
  pen.textAlign = "left";
  for (const price of niceSteps(place.bottom, place.top, wanted)) {
    const y = crisp(place.y(price));
    stroke(pen, colours.line, [[0, y], [place.right, y]]);
    pen.fillStyle = colours.muted;
    pen.fillText(fixed(price, decimals), place.right + 8, y);
  }
  stroke(pen, colours.line, [[0, crisp(place.floor)], [place.width, crisp(place.floor)]]);
  pen.textAlign = "center";
  const least = (LABEL_WIDTH / place.step) * lengthMs;
  const every = TIME_STEPS.find((step) => step >= least) ?? TIME_STEPS.at(-1);
  candles.forEach((candle, at) => {
    if (localTime(candle.at) % every) return;
    const x = place.x(at);
    if (x < 26 || x > place.right - 26) return;
    stroke(pen, colours.line, [[crisp(x), 0], [crisp(x), place.floor]]);
    pen.fillStyle = colours.muted;
    pen.fillText(timeLabel(candle.at), x, place.floor + AXIS_HEIGHT / 2);
  });
}

/** Milliseconds that are a multiple of a day at midnight here. */
const localTime = (at) => at - new Date(at).getTimezoneOffset() * MINUTE;

function timeLabel(at) {
  if (lengthMs < MINUTE) return clock(at);
  const date = new Date(at);
  if (lengthMs >= DAY) return `${date.getMonth() + 1}/${date.getDate()}`;
  return clock(at).slice(0, 5);
}

function paintCandle(pen, candle, at) {
  const rises = candle.close >= candle.open;
  const colour = rises ? colours.buy : colours.sell;
  const x = place.x(at);
  const [upper, lower] = [place.y(Math.max(candle.open, candle.close)), place.y(Math.min(candle.open, candle.close))];
  const tall = Math.max(1, Math.round(lower - upper));
  if (candle.count === 0) {
    stroke(pen, colours.muted, [[x - place.body / 2, crisp(upper)], [x + place.body / 2, crisp(upper)]]);
    return;
  }
  stroke(pen, colour, [[crisp(x - 0.5), place.y(candle.high)], [crisp(x - 0.5), upper]]);
  stroke(pen, colour, [[crisp(x - 0.5), lower], [crisp(x - 0.5), place.y(candle.low)]]);
  pen.fillStyle = colour;
  if (rises && tall > 2) {
    pen.strokeRect(crisp(x - place.body / 2 - 0.5), crisp(upper), place.body, tall - 1);
  } else {
    pen.fillRect(Math.round(x - place.body / 2 - 0.5), Math.round(upper), place.body + 1, tall);
  }
  pen.globalAlpha = 0.32;
  const volume = Math.max(1, place.volume(candle.volume));
  pen.fillRect(Math.round(x - place.body / 2 - 0.5), place.floor - volume, place.body + 1, volume);
  pen.globalAlpha = 1;
}

function paintOwnOrders(pen) {
  const own = state.account?.orders.filter((order) => order.symbol === state.symbol) ?? [];
  for (const order of own) {
    const price = Number(order.price);
    if (price <= place.bottom || price >= place.top) continue;
    const y = crisp(place.y(price));
    stroke(pen, order.side === "Buy" ? colours.buy : colours.sell, [[0, y], [place.right, y]], [2, 4]);
    pen.textAlign = "left";
    pen.fillStyle = colours.muted;
    pen.fillText(`your ${order.side.toLowerCase()}`, 6, y - 8);
  }
}

function paintLast(pen, decimals) {
  const last = candles.at(-1);
  const colour = last.close >= last.open ? colours.buy : colours.sell;
  const y = crisp(place.y(last.close));
  stroke(pen, colour, [[0, y], [place.right, y]], [4, 3]);
  pen.fillStyle = colour;
  pen.fillRect(place.right + 1, y - 9, place.width - place.right - 1, 18);
  pen.fillStyle = colours.panel;
  pen.textAlign = "left";
  pen.fillText(fixed(last.close, decimals), place.right + 8, y);
}

function paintPointer(pen) {
  const x = crisp(place.x(pointed) - 0.5);
  stroke(pen, colours.accent, [[x, 0], [x, place.floor]], [3, 3]);
  const label = moment(candles[pointed].at);
  const wide = pen.measureText(label).width + 12;
  const left = Math.min(Math.max(0, x - wide / 2), place.right - wide);
  pen.fillStyle = colours.accent;
  pen.fillRect(left, place.floor + 2, wide, AXIS_HEIGHT - 4);
  pen.fillStyle = colours.panel;
  pen.textAlign = "center";
  pen.fillText(label, left + wide / 2, place.floor + AXIS_HEIGHT / 2);
}

/** The pointed candle (or the last) in words, for eyes and for screen readers. */
function describe(canvas, decimals) {
  const legend = byId("chart-legend");
  const candle = candles[pointed ?? candles.length - 1];
  if (!candle) {
    legend.replaceChildren();
    canvas.setAttribute("aria-label", "Candle chart, empty: no trades yet");
    return;
  }
  const percent = change((candle.close / candle.open - 1) * 100);
  const figures = [["O", candle.open], ["H", candle.high], ["L", candle.low], ["C", candle.close]];
  legend.replaceChildren(
    ...figures.flatMap(([letter, price]) => [`${letter} `, make("b", {}, fixed(price, decimals)), "  "]),
    make("span", { class: candle.close >= candle.open ? "up" : "down" }, percent),
    `  Vol ${short(candle.volume)}`,
  );
  const words = figures.map(([letter, price]) => `${letter} ${fixed(price, decimals)}`).join(", ");
  canvas.setAttribute("aria-label", `Candle chart. ${moment(candle.at)}: ${words}, volume ${plain(candle.volume)}. Arrow keys move along.`);
}
