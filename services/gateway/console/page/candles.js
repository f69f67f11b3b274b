// Candles from trades. Pure: no document, no clock.

export const INTERVALS = [["1s", 1_000], ["1m", 60_000], ["5m", 300_000], ["15m", 900_000], ["1h", 3_600_000], ["1d", 86_400_000]];

/** The candles {at, open, high, low, close, volume, count} of trades (oldest first), `most` at most, the newest ones.
 *
 * An interval without a trade has a flat candle at the close before it, so that time passes evenly.
 */
export function candlesOf(trades, lengthMs, most) {
  const candles = [];
  for (const trade of trades) {
    const at = Math.floor(trade.time_ms / lengthMs) * lengthMs;
    const price = Number(trade.price);
    let last = candles.at(-1);
    if (last && at > last.at) {
      for (let gap = Math.max(last.at + lengthMs, at - most * lengthMs); gap < at; gap += lengthMs) {
        candles.push(flat(gap, last.close));
      }
    }
    if (!last || at > last.at) {
      candles.push({ ...flat(at, price), open: price });
      last = candles.at(-1);
    }
    last = candles.at(-1);
    last.high = Math.max(last.high, price);
    last.low = Math.min(last.low, price);
    last.close = price;
    last.volume += Number(trade.quantity);
    last.count += 1;
  }
  return candles.slice(-most);
}

const flat = (at, price) => ({ at, open: price, high: price, low: price, close: price, volume: 0, count: 0 });

/** Round numbers between low and high, `count` or so: steps of 1, 2 or 5 times a power of ten. */
export function niceSteps(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high; at += 1) found.push(at * step);
  return found;
}
