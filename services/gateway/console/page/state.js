// What the page knows, in one place. Modules change it with `update` and look at it in what they gave to `watch`.

export const state = {
  assets: new Map(),
  symbols: new Map(),
  symbol: "",
  prices: new Map(),
  depth: null,
  trades: [],
  account: null,
  caller: null,
};

const watchers = [];

/** Call `look` after each change of one of `keys`. */
export function watch(keys, look) {
  watchers.push({ keys: new Set(keys), look });
}

export function update(changes) {
  Object.assign(state, changes);
  const changed = Object.keys(changes);
  for (const { keys, look } of watchers) {
    if (changed.some((key) => keys.has(key))) look();
  }
}

/** The chosen market's settings, or null before they are known. */
export const market = () => state.symbols.get(state.symbol) ?? null;

/** The caller's balance of an asset as {available, reserved}; null when nobody is signed in. */
export function balance(asset) {
  if (!state.account) return null;
  return state.account.balances.find((one) => one.asset === asset) ?? { asset, available: "0", reserved: "0" };
}
