// The order book, with bars for the depth up to each level, and the trade tape.

import { byId, make, oncePerFrame, setText } from "./dom.js";
import { clock, decimalsOf, fixed, plain, short } from "./format.js";
import { lastMove } from "./market.js";
import { market, state, watch } from "./state.js";

const ROW_PIXELS = 20;
const TAPE_ROWS = 60;
let choosePrice = () => {};

/** onPrice: called with the price of a level that was clicked. */
export function startBook(onPrice) {
  choosePrice = onPrice;
  const showBook = oncePerFrame(drawBook);
  watch(["depth", "symbol", "symbols", "account"], showBook);
  watch(["trades", "symbol", "symbols"], oncePerFrame(drawTape));
  watch(["trades"], showBook);
  new ResizeObserver(showBook).observe(byId("book"));
}

function drawBook() {
  const settings = market();
  if (!settings) return;
  setText(byId("book-price"), `Price (${settings.quote})`);
  setText(byId("book-size"), `Size (${settings.base})`);
  const room = (byId("book").clientHeight - 24 - 33) / 2;
  const rows = Math.max(3, Math.floor(room / ROW_PIXELS));
  const asks = levels(state.depth?.asks ?? [], rows);
  const bids = levels(state.depth?.bids ?? [], rows);
  const deepest = Math.max(asks.at(-1)?.total ?? 0, bids.at(-1)?.total ?? 0);
  const own = ownPrices();
  fill(byId("asks"), asks.reverse(), deepest, own, settings, "Nobody sells yet");
  fill(byId("bids"), bids, deepest, own, settings, "Nobody buys yet");
  drawMiddle(settings);
}

function levels(found, rows) {
  let total = 0;
  return found.slice(0, rows).map(([price, size]) => {
    total += Number(size);
    return { price, size, total };
  });
}

function ownPrices() {
  const orders = state.account?.orders.filter((order) => order.symbol === state.symbol) ?? [];
  return new Set(orders.map((order) => Number(order.price)));
}

function fill(body, found, deepest, own, settings, nobody) {
  const decimals = decimalsOf(settings.tick_size);
  const sizes = decimalsOf(settings.lot_size);
  resize(body, Math.max(found.length, 1), () => make("tr", { click: (event) => pick(event.currentTarget) }, make("td"), make("td"), make("td")));
  if (!found.length) {
    const [row] = body.children;
    row.style.removeProperty("--depth");
    delete row.dataset.price;
    delete row.dataset.own;
    [nobody, "", ""].forEach((text, column) => setText(row.children[column], text));
    return;
  }
  found.forEach(({ price, size, total }, at) => {
    const row = body.children[at];
    row.dataset.price = price;
    row.toggleAttribute("data-own", own.has(Number(price)));
    row.title = own.has(Number(price)) ? "You have an order here" : "";
    row.style.setProperty("--depth", `${((total / deepest) * 100).toFixed(1)}%`);
    setText(row.children[0], fixed(price, decimals));
    setText(row.children[1], fixed(size, sizes));
    setText(row.children[2], total < 1e5 ? fixed(total, Math.min(3, sizes)) : short(total));
  });
}

const pick = (row) => row.dataset.price && choosePrice(row.dataset.price);

function drawMiddle(settings) {
  const price = state.prices.get(state.symbol);
  const middle = byId("middle");
  const move = lastMove();
  middle.className = `middle ${move}`;
  const arrow = { up: " ▲", down: " ▼" }[move] ?? "";
  const shown = price === undefined ? "No price yet" : `${fixed(price, decimalsOf(settings.tick_size))}${arrow}`;
  const sides = state.depth?.bids[0] && state.depth?.asks[0];
  const gap = sides ? Number(state.depth.asks[0][0]) - Number(state.depth.bids[0][0]) : null;
  const note = gap === null ? "" : `spread ${plain(gap, 0, decimalsOf(settings.tick_size))}`;
  middle.replaceChildren(shown, make("small", {}, note));
}

function drawTape() {
  const settings = market();
  if (!settings) return;
  const found = state.trades.slice(-TAPE_ROWS).reverse();
  const body = byId("tape");
  byId("tape-empty").hidden = found.length > 0;
  resize(body, found.length, () => make("tr", {}, make("td"), make("td"), make("td")));
  found.forEach((trade, at) => {
    const cells = body.children[at].children;
    const sold = trade.buyer_is_maker;
    cells[0].className = sold ? "down" : "up";
    cells[0].title = sold ? "The taker sold" : "The taker bought";
    setText(cells[0], `${sold ? "▾" : "▴"} ${fixed(trade.price, decimalsOf(settings.tick_size))}`);
    setText(cells[1], fixed(trade.quantity, decimalsOf(settings.lot_size)));
    setText(cells[2], clock(trade.time_ms));
  });
}

function resize(body, count, another) {
  while (body.children.length > count) body.lastElementChild.remove();
  while (body.children.length < count) body.append(another());
}
