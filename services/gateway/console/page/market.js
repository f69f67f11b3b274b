// The strip on top: markets with their live prices, and the figures of the chosen one.

import { byId, make, setText } from "./dom.js";
import { change, decimalsOf, fixed, plain } from "./format.js";
import { chooseSymbol } from "./live.js";
import { market, state, watch } from "./state.js";

const STATUS_WORDS = { Halted: "halted", CancelOnly: "cancel only" };
const buttons = new Map();
let former = new Map();

export function startMarkets() {
  watch(["symbols", "symbol"], showList);
  watch(["prices", "symbols"], showPrices);
  watch(["prices", "depth", "trades", "symbol", "symbols"], showFigures);
}

function showList() {
  const list = byId("markets");
  for (const [name, settings] of state.symbols) {
    if (!buttons.has(name)) {
      const price = make("small", {}, "–");
      const button = make("button", { type: "button", class: "market", click: () => chooseSymbol(name) });
      button.append(make("b", {}, name.replace("_", "/")), price);
      buttons.set(name, { button, price });
      list.append(button);
    }
    const { button } = buttons.get(name);
    button.setAttribute("aria-pressed", String(name === state.symbol));
    if (settings.status === "Trading") delete button.dataset.halted;
    else button.dataset.halted = STATUS_WORDS[settings.status] ?? settings.status;
  }
}

function showPrices() {
  for (const [name, price] of state.prices) {
    const shown = buttons.get(name);
    const settings = state.symbols.get(name);
    if (!shown || !settings) continue;
    const before = former.get(name);
    setText(shown.price, fixed(price, decimalsOf(settings.tick_size)));
    if (before !== undefined && before !== price) {
      const rises = Number(price) > Number(before);
      shown.price.className = rises ? "up flash-up" : "down flash-down";
    }
  }
  former = new Map(state.prices);
}

function showFigures() {
  const settings = market();
  if (!settings) return;
  const decimals = decimalsOf(settings.tick_size);
  const price = state.prices.get(state.symbol);
  const last = byId("last-price");
  setText(last, price === undefined ? "–" : fixed(price, decimals));
  last.className = lastMove();
  showChange(price);
  setText(byId("spread"), spread(decimals));
  setText(byId("tick"), `${settings.tick_size} ${settings.quote}`);
  setText(byId("lot"), `${settings.lot_size} ${settings.base}`);
  const percent = (micros) => `${plain(micros / 1e4)} %`;
  setText(byId("fees"), `${percent(settings.maker_fee_micros)} / ${percent(settings.taker_fee_micros)}`);
  document.title = price === undefined ? "Exchange" : `${fixed(price, decimals)} ${state.symbol.replace("_", "/")} · Exchange`;
}

/** The class of the last price: up or down against the last different one. */
export function lastMove() {
  const { trades } = state;
  const last = trades.at(-1);
  for (let at = trades.length - 2; last && at >= 0; at -= 1) {
    const difference = Number(last.price) - Number(trades[at].price);
    if (difference) return difference > 0 ? "up" : "down";
  }
  return "";
}

function showChange(price) {
  const first = state.trades[0];
  const shown = byId("change");
  const percent = first && price !== undefined ? (Number(price) / Number(first.price) - 1) * 100 : null;
  setText(shown, percent === null ? "–" : change(percent));
  shown.className = percent > 0 ? "up" : percent < 0 ? "down" : "";
}

function spread(decimals) {
  const bid = state.depth?.bids[0];
  const ask = state.depth?.asks[0];
  if (!bid || !ask) return "–";
  const wide = Number(ask[0]) - Number(bid[0]);
  return `${fixed(wide, decimals)} (${plain((wide / Number(ask[0])) * 1e4, 1, 1)} bp)`;
}
