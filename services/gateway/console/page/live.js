// The WebSocket: keeps the state up to date, and comes back by itself when the connection was lost.

import { currentToken, get, renew, signOut, whenToken } from "./api.js";
import { state, update } from "./state.js";
import { toast } from "./toasts.js";

const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 10_000;
const HISTORY_PAGES = 3;
export const MAX_TRADES = 5_000;

let socket = null;
let pause = FIRST_PAUSE_MS;
let tell = () => {};

/** Connect, now and whenever it is lost. told: called with "connecting", "live" or "away". */
export function startLive(told) {
  tell = told;
  whenToken((token) => send({ token }));
  connect();
}

/** Look at another market: its book and its trades. */
export function chooseSymbol(symbol) {
  if (symbol === state.symbol) return;
  update({ symbol, depth: null, trades: [] });
  send({ symbol });
  loadTrades(symbol);
}

function connect() {
  const address = new URL("/api/live", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  socket = new WebSocket(address);
  socket.onopen = () => {
    pause = FIRST_PAUSE_MS;
    tell("live");
    if (state.symbol) {
      send({ symbol: state.symbol });
      loadTrades(state.symbol);
    }
    if (currentToken()) send({ token: currentToken() });
  };
  socket.onmessage = (event) => {
    const { type, data } = JSON.parse(event.data);
    takers[type]?.(data);
  };
  socket.onclose = () => {
    tell("away");
    setTimeout(connect, pause);
    pause = Math.min(pause * 2, LAST_PAUSE_MS);
  };
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

const takers = {
  symbols({ assets, symbols }) {
    update({
      assets: new Map(assets.map((one) => [one.name, one])),
      symbols: new Map(symbols.map((one) => [one.name, one])),
    });
    if (!state.symbols.has(state.symbol) && symbols.length) chooseSymbol(symbols[0].name);
  },
  depth(depth) {
    if (depth.symbol === state.symbol) update({ depth });
  },
  trades: addTrades,
  prices(prices) {
    update({ prices: new Map([...state.prices, ...Object.entries(prices)]) });
  },
  account(account) {
    update({ account });
  },
  error(error) {
    // The token's time was over, or its key was revoked: the next token says which.
    if (error.code === -1002 && currentToken()) renew().catch(() => endSession());
    else toast("bad", "The live feed refused a request", error.msg);
  },
};

function endSession() {
  signOut();
  toast("bad", "Signed out", "The key is no longer good. Ask for a new one, and sign in with it.");
}

async function loadTrades(symbol) {
  const query = { symbol, limit: 1000 };
  try {
    for (let page = 0; page < HISTORY_PAGES; page += 1) {
      const answer = await get("/api/trades", query);
      if (symbol !== state.symbol) return;
      addTrades(answer.trades);
      if (!answer.next) return;
      query.cursor = answer.next;
    }
  } catch (error) {
    toast("bad", "Older trades could not be read", error.message);
  }
}

/** Trades come from the store and from the feed, so some come twice; newest last. */
function addTrades(found) {
  const fresh = found.filter((trade) => trade.symbol === state.symbol);
  const byId = new Map(state.trades.map((trade) => [trade.trade_id, trade]));
  const before = byId.size;
  for (const trade of fresh) byId.set(trade.trade_id, trade);
  if (byId.size === before) return;
  const trades = [...byId.values()].sort((one, other) => one.trade_id - other.trade_id).slice(-MAX_TRADES);
  update({ trades });
}
