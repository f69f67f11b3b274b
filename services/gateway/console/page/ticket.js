// The order ticket. It says in words what is missing or wrong before anything is sent.

import { Refusal, get, post } from "./api.js";
import { byId, setText } from "./dom.js";
import { decimalsOf, fixed, floorToStep, isDecimal, isMultiple, plain } from "./format.js";
import { openSignIn } from "./sign-in.js";
import { balance, market, state, watch } from "./state.js";
import { toast } from "./toasts.js";
import { inWords } from "./words.js";

const TIMES_ASKED = 5;
const form = byId("ticket");
const { price, quantity } = form.elements;
const time = byId("time-in-force");

let sending = false;
let pricedFor = "";

export function startTicket() {
  form.addEventListener("input", show);
  form.addEventListener("change", show);
  form.addEventListener("submit", submit);
  price.addEventListener("keydown", (event) => step(event, price, market()?.tick_size));
  quantity.addEventListener("keydown", (event) => step(event, quantity, market()?.lot_size));
  byId("quick-prices").addEventListener("click", (event) => takeQuick(event.target.dataset.quick));
  form.addEventListener("click", (event) => takePart(event.target.dataset.part));
  watch(["symbol", "symbols"], showMarket);
  watch(["depth", "account", "caller"], show);
}

/** Put a price into the ticket. */
export function setPrice(text) {
  price.value = text;
  show();
}

const side = () => form.elements.side.value;
const kind = () => form.elements.type.value;
const best = (which) => state.depth?.[which][0]?.[0];

function showMarket() {
  const settings = market();
  if (!settings) return;
  setText(byId("price-unit"), settings.quote);
  setText(byId("quantity-unit"), settings.base);
  if (pricedFor !== settings.name) {
    pricedFor = settings.name;
    price.value = "";
    quantity.value = "";
  }
  show();
}

function show() {
  const settings = market();
  if (!settings) return;
  const [chosen, type] = [side(), kind()];
  form.dataset.side = chosen;
  byId("price-field").hidden = byId("quick-prices").hidden = type === "Market";
  byId("time-field").hidden = type !== "Limit";
  showAvailable(settings, chosen);
  showSums(settings, type);
  showMistakes(settings, type, false);
  const amount = isDecimal(quantity.value) && Number(quantity.value) > 0 ? `${plain(quantity.value)} ` : "";
  setText(byId("submit"), state.caller ? `${chosen} ${amount}${settings.base}` : "Sign in to trade");
  byId("submit").disabled = sending;
  const closed = settings.status === "Trading" ? "" : `${settings.name} is ${settings.status}: new orders will be refused.`;
  setText(byId("ticket-note"), closed);
}

const paidIn = (settings, chosen) => (chosen === "Buy" ? settings.quote : settings.base);

function showAvailable(settings, chosen) {
  const asset = paidIn(settings, chosen);
  const own = balance(asset);
  setText(byId("available"), own ? `${plain(own.available)} ${asset}` : "–");
}

/** The price that sums are made with; null when there is none yet. */
function expectedPrice(type) {
  if (type === "Market") return Number(best(side() === "Buy" ? "asks" : "bids")) || null;
  return isDecimal(price.value) ? Number(price.value) : null;
}

function showSums(settings, type) {
  const at = expectedPrice(type);
  const total = at !== null && isDecimal(quantity.value) ? at * Number(quantity.value) : null;
  const about = type === "Market" ? "≈ " : "";
  setText(byId("total"), total === null ? "–" : `${about}${fixed(total, 2)} ${settings.quote}`);
  const rate = settings.taker_fee_micros / 1e6;
  const buys = side() === "Buy";
  const fee = total === null ? null : buys ? Number(quantity.value) * rate : total * rate;
  setText(byId("fee"), fee === null ? "–" : `${about}${plain(fee, 0, buys ? 8 : 4)} ${buys ? settings.base : settings.quote}`);
}

/** Say what is wrong; with `all`, also what is missing. The first field that is wrong, or null. */
function showMistakes(settings, type, all) {
  const priceWrong = type === "Market" ? "" : mistakeIn(price.value, "price", settings.tick_size, settings.quote, all);
  const small = Number(quantity.value) * expectedPrice(type);
  let quantityWrong = mistakeIn(quantity.value, "quantity", settings.lot_size, settings.base, all);
  if (!quantityWrong && !priceWrong && small > 0 && small < Number(settings.min_notional)) {
    quantityWrong = `Too small: at least ${plain(settings.min_notional)} ${settings.quote} in total.`;
  }
  mark(price, "price-note", priceWrong);
  mark(quantity, "quantity-note", quantityWrong);
  return priceWrong ? price : quantityWrong ? quantity : null;
}

function mistakeIn(text, name, stepSize, unit, all) {
  if (!text) return all ? `Enter a ${name}.` : "";
  if (!isDecimal(text)) return `Enter a ${name} in plain digits, such as ${stepSize}.`;
  if (Number(text) <= 0) return all ? `The ${name} must be above 0.` : "";
  if (!isMultiple(text, stepSize)) return `Goes in steps of ${stepSize} ${unit}.`;
  return "";
}

function mark(input, noteId, wrong) {
  setText(byId(noteId), wrong);
  if (wrong) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

function step(event, input, size) {
  const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (!by || !size) return;
  event.preventDefault();
  const from = Number(input.value) || (input === price ? Number(best("bids") ?? best("asks") ?? 0) : 0);
  const next = Math.max(0, from + by * Number(size) * (event.shiftKey ? 10 : 1));
  input.value = next.toFixed(decimalsOf(size));
  show();
}

function takeQuick(which) {
  const [bid, ask] = [best("bids"), best("asks")];
  if (!which) return;
  if (which === "bid" && bid) setPrice(bid);
  else if (which === "ask" && ask) setPrice(ask);
  else if (which === "middle" && bid && ask) setPrice(floorToStep((Number(bid) + Number(ask)) / 2, market().tick_size));
  else toast("info", "The book has no such price yet", "Enter a price: yours will be the first.");
}

function takePart(part) {
  const settings = market();
  if (!part || !settings) return;
  const own = balance(paidIn(settings, side()));
  if (!own) return openSignIn();
  const at = expectedPrice(kind());
  if (side() === "Buy" && !at) return void toast("info", "Enter a price first", "How much you can buy depends on it.");
  const most = (Number(own.available) * Number(part)) / 100;
  quantity.value = floorToStep(side() === "Buy" ? most / at : most, settings.lot_size);
  show();
}

async function submit(event) {
  event.preventDefault();
  const settings = market();
  if (!settings || sending) return;
  if (!state.caller) return openSignIn();
  const wrong = showMistakes(settings, kind(), true);
  if (wrong) return wrong.focus();
  sending = true;
  show();
  try {
    await place(orderOf(settings), settings);
  } finally {
    sending = false;
    show();
  }
}

function orderOf(settings) {
  const cid = `c-${crypto.getRandomValues(new Uint32Array(3)).join("-")}`;
  const order = { cid, symbol: settings.name, side: side(), order_type: kind(), quantity: quantity.value };
  if (order.order_type !== "Market") order.price = price.value;
  if (order.order_type === "Limit") order.time_in_force = time.value;
  return order;
}

async function place(order, settings) {
  try {
    announce(await post("/api/orders", order), settings);
    quantity.value = "";
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 504 || error.status === 0) await findOut(order, settings);
    else toast("bad", `${order.side} order refused`, inWords(error, order, settings));
  }
}

/** The outcome is unknown: ask for the order by its own id, which never places it twice. */
async function findOut(order, settings) {
  toast("info", "No answer yet", "Asking the exchange what became of the order.");
  for (let asked = 0; asked < TIMES_ASKED; asked += 1) {
    try {
      return announce(await get("/api/orders", { cid: order.cid }), settings);
    } catch (error) {
      if (error.status === 404) return void toast("bad", "The order was not placed", "Nothing was done. Place it again.");
      await new Promise((done) => setTimeout(done, 1_000 * (asked + 1)));
    }
  }
  return void toast("bad", "It is not known whether the order was placed", "Look at your open orders before you place it again.");
}

function announce(order, settings) {
  const what = `${order.side === "Buy" ? "Buy" : "Sell"} ${plain(order.quantity)} ${settings.base}`;
  const filled = `${plain(order.filled_quantity)} of ${plain(order.quantity)} ${settings.base} filled`;
  const average = Number(order.filled_quantity) ? ` at ${fixed(order.filled_quote / order.filled_quantity, decimalsOf(settings.tick_size))}` : "";
  const at = ` at ${fixed(order.price, decimalsOf(settings.tick_size))}`;
  const words = {
    New: ["good", "Order rests in the book", `${what}${at}.`],
    PartiallyFilled: ["good", "Partly filled, the rest is in the book", `${filled}${average}.`],
    Filled: ["good", `${order.side === "Buy" ? "Bought" : "Sold"} ${plain(order.filled_quantity)} ${settings.base}`, `Filled${average}.`],
  };
  toast(...(words[order.order_status] ?? ["info", `Order ${order.order_status.toLowerCase()}`, `${filled}${average}; nothing is left in the book.`]));
}
