// Refusals in plain words: what is wrong, and what to do.

import { plain } from "./format.js";
import { balance } from "./state.js";

const BY_REJECT = {
  USER_SUSPENDED: () => "This account is suspended. Ask an administrator to resume it.",
  SYMBOL_HALTED: (order) => `${order.symbol} is halted: it takes no orders until an administrator opens it again.`,
  SYMBOL_CANCEL_ONLY: (order) => `${order.symbol} takes cancels only at the moment. Orders that rest can be cancelled.`,
  PRICE_BAND: () => "The price is too far from the market. Choose one nearer to the best bid or ask.",
  MIN_NOTIONAL: (order, market) => `The order is too small: it must be worth ${market.min_notional} ${market.quote} at least.`,
  NOTIONAL_TOO_LARGE: () => "The order is worth more than one order may be. Split it.",
  TOO_MANY_OPEN_ORDERS: () => "You have as many open orders as the exchange allows. Cancel one first.",
  NO_REFERENCE_PRICE: () => "Nobody offers anything yet, so a market order has no price. Place a limit order.",
  WOULD_TAKE_LIQUIDITY: () => "It would have traded at once, and post-only orders never do. Choose a price that rests.",
  UNKNOWN_ORDER: () => "The order is no longer open: it was filled or cancelled before.",
  INSUFFICIENT_BALANCE: (order, market) => {
    const asset = order.side === "Sell" ? market.base : market.quote;
    const own = balance(asset);
    return `Not enough ${asset}${own ? `: ${plain(own.available)} available` : ""}. Make the order smaller, or cancel another one.`;
  },
};

/** order: what was asked for (symbol, side); market: its symbol's settings. */
export function inWords(refusal, order = {}, market = {}) {
  if (refusal.reject in BY_REJECT) return BY_REJECT[refusal.reject](order, market);
  if (refusal.status === 0) return "The exchange does not answer. Look at the connection, then at your open orders.";
  if (refusal.status === 401) return "The key is not good, or no longer. Sign in again.";
  if (refusal.status === 403) return `${refusal.message} Sign in with a key that has it.`;
  if (refusal.status === 429) return "Too many requests. Wait a second, then try again.";
  if (refusal.status === 503) return `${refusal.message} Nothing was done.`;
  return refusal.message;
}
