// The caller's orders, balances, fills and history, and cancelling.

import { get, post } from "./api.js";
import { byId, make, setText } from "./dom.js";
import { decimalsOf, fixed, moment, plain } from "./format.js";
import { openSignIn } from "./sign-in.js";
import { state, watch } from "./state.js";
import { startTabs } from "./tabs.js";
import { toast } from "./toasts.js";
import { inWords } from "./words.js";

/** The store is a moment behind the answers. */
const STORE_IS_BEHIND_MS = 400;
const STATUS_WORDS = { PartiallyFilled: "Partly filled" };

let shownTab = "open";
let asked = 0;
let refresh = 0;

export function startOwn() {
  startTabs(byId("own-tabs"), (tab) => {
    shownTab = tab.id.replace("tab-", "");
    show();
  });
  byId("cancel-all").addEventListener("click", cancelAll);
  watch(["account", "caller", "symbols"], show);
}

function show() {
  const orders = state.account?.orders ?? [];
  setText(byId("open-count"), orders.length ? String(orders.length) : "");
  byId("cancel-all").hidden = shownTab !== "open" || orders.length === 0;
  const pane = byId(`pane-${shownTab}`);
  if (!state.caller) {
    pane.replaceChildren(empty("Nobody is signed in", "Sign in with an API key to see your orders and balances.", "Sign in", openSignIn));
    return;
  }
  if (shownTab === "open") showOpen(pane, orders);
  else if (shownTab === "balances") showBalances(pane);
  else {
    clearTimeout(refresh);
    refresh = setTimeout(() => showStored(pane, shownTab), pane.childElementCount ? STORE_IS_BEHIND_MS : 0);
  }
}

function empty(title, text, action = "", act = null) {
  const button = act && make("button", { type: "button", click: act }, action);
  return make("p", { class: "empty" }, make("strong", {}, title), text, " ", button);
}

/** columns: [title, class, cell of a row]; the cell is text or an element. */
function table(columns, rows) {
  const head = make("tr", {}, ...columns.map(([title, kind]) => make("th", { scope: "col", class: kind }, title)));
  const body = rows.map((row) => make("tr", {}, ...columns.map(([title, kind, cell]) => make("td", { class: kind, "data-title": title }, cell(row)))));
  return make("table", { class: "rows" }, make("thead", {}, head), make("tbody", {}, ...body));
}

const settingsOf = (row) => state.symbols.get(row.symbol) ?? { tick_size: "0.01", lot_size: "0.01", base: "", quote: "" };
const priceOf = (row) => (Number(row.price) ? fixed(row.price, decimalsOf(settingsOf(row).tick_size)) : "market");
const sideOf = (row) => make("span", { class: row.side === "Buy" ? "up" : "down" }, row.side === "Buy" ? "▲ Buy" : "▼ Sell");
const marketOf = (row) => row.symbol.replace("_", "/");

function showOpen(pane, orders) {
  if (!orders.length) {
    pane.replaceChildren(empty("No open orders", "Orders that rest in the book are listed here, and can be cancelled."));
    return;
  }
  const focused = pane.contains(document.activeElement) ? document.activeElement.dataset.order : undefined;
  pane.replaceChildren(table([
    ["Market", "left", marketOf],
    ["Side", "left", sideOf],
    ["Price", "", priceOf],
    ["Quantity", "", (row) => plain(row.quantity)],
    ["Filled", "", filledOf],
    ["Type", "left", (row) => (row.order_type === "LimitMaker" ? "Post only" : row.order_type)],
    ["Time", "", (row) => moment(row.time_ms)],
    ["", "", cancelButton],
  ], orders.toReversed()));
  if (focused) (pane.querySelector(`[data-order="${focused}"]`) ?? pane).focus();
}

function filledOf(row) {
  const part = Number(row.filled_quantity) / Number(row.quantity) || 0;
  const meter = make("span", { class: "meter", "aria-hidden": "true" }, make("i"));
  meter.firstElementChild.style.setProperty("--part", `${part * 100}%`);
  return make("span", {}, `${plain(part * 100, 0, 1)} %`, meter);
}

function cancelButton(row) {
  const name = `Cancel ${row.side} ${plain(row.quantity)} ${marketOf(row)} at ${priceOf(row)}`;
  return make("button", { type: "button", class: "row-button", "data-order": row.order_id, "aria-label": name, click: (event) => cancel(row, event.currentTarget) }, "Cancel");
}

async function cancel(row, button) {
  button.disabled = true;
  try {
    const done = await post("/api/orders/cancel", { order_id: row.order_id });
    const kept = Number(done.filled_quantity) ? ` ${plain(done.filled_quantity)} had been filled.` : "";
    toast("good", "Order cancelled", `${row.side} ${plain(row.quantity)} ${settingsOf(row).base} at ${priceOf(row)}.${kept}`);
  } catch (error) {
    toast("bad", "The order was not cancelled", inWords(error, row));
    button.disabled = false;
  }
}

async function cancelAll() {
  try {
    const { orders } = await post("/api/orders/cancel_all", {});
    toast("good", `${orders.length} ${orders.length === 1 ? "order" : "orders"} cancelled`);
  } catch (error) {
    toast("bad", "The orders were not cancelled", inWords(error));
  }
}

function showBalances(pane) {
  const balances = state.account?.balances.filter((one) => Number(one.available) || Number(one.reserved)) ?? [];
  if (!balances.length) {
    pane.replaceChildren(empty("No funds yet", "Funds come in by POST /api/transfers/in, from somebody with a treasury key."));
    return;
  }
  const decimals = (row) => Math.min(8, state.assets.get(row.asset)?.scale ?? 8);
  pane.replaceChildren(table([
    ["Asset", "left", (row) => make("b", {}, row.asset)],
    ["Available", "", (row) => fixed(row.available, decimals(row))],
    ["In orders", "", (row) => fixed(row.reserved, decimals(row))],
    ["Total", "", (row) => fixed(Number(row.available) + Number(row.reserved), decimals(row))],
  ], balances));
}

const STORED = {
  fills: {
    read: () => get("/api/trades", { user_id: state.caller.userId, limit: 50 }).then((answer) => answer.trades),
    columns: [
      ["Market", "left", marketOf],
      ["Side", "left", sideOf],
      ["Price", "", priceOf],
      ["Quantity", "", (row) => plain(row.quantity)],
      ["Fee", "", (row) => `${plain(row.fee)} ${row.fee_asset}`],
      ["As", "left", (row) => (row.is_maker ? "maker" : "taker")],
      ["Time", "", (row) => moment(row.time_ms)],
    ],
    none: ["No fills yet", "Each trade of one of your orders is listed here, with its fee."],
  },
  history: {
    read: () => get("/api/orders/history", { limit: 50 }).then((answer) => answer.orders),
    columns: [
      ["Market", "left", marketOf],
      ["Side", "left", sideOf],
      ["Price", "", priceOf],
      ["Quantity", "", (row) => plain(row.quantity)],
      ["Filled", "", filledOf],
      ["Status", "left", (row) => STATUS_WORDS[row.order_status] ?? row.order_status],
      ["Time", "", (row) => moment(row.time_ms)],
    ],
    none: ["No orders yet", "Every order you have placed is listed here, with what became of it."],
  },
};

async function showStored(pane, name) {
  const turn = (asked += 1);
  const { read, columns, none } = STORED[name];
  try {
    const rows = await read();
    if (turn !== asked || !state.caller) return;
    pane.replaceChildren(rows.length ? table(columns, rows) : empty(...none));
  } catch (error) {
    if (turn === asked) pane.replaceChildren(empty("It cannot be read at the moment", inWords(error), "Try again", show));
  }
}
