// Numbers and times as people read them. Amounts arrive as decimal texts; they are numbers only to be shown or compared.

const grouped = new Map();

function grouping(least, most) {
  const key = `${least}:${most}`;
  if (!grouped.has(key)) {
    grouped.set(key, new Intl.NumberFormat("en", { minimumFractionDigits: least, maximumFractionDigits: most }));
  }
  return grouped.get(key);
}

/** How many decimals a step such as "0.01" has. */
export function decimalsOf(step) {
  const point = step.indexOf(".");
  return point < 0 ? 0 : step.slice(point + 1).replace(/0+$/, "").length;
}

/** With thousands separated and exactly `decimals` decimals. */
export const fixed = (value, decimals) => grouping(decimals, decimals).format(Number(value));

/** With thousands separated and as many decimals as it needs, `least` at least. */
export const plain = (value, least = 0, most = 8) => grouping(least, most).format(Number(value));

/** Rounded to three or four digits, with k, M or B. */
export function short(value) {
  const number = Number(value);
  for (const [size, letter] of [[1e9, "B"], [1e6, "M"], [1e4, "k"]]) {
    if (Math.abs(number) >= size) return `${grouping(0, 2).format(size === 1e4 ? number / 1e3 : number / size)}${letter}`;
  }
  return grouping(0, Math.abs(number) < 1 ? 5 : 3).format(number);
}

/** A change with its sign and an arrow, so that it does not depend on colour. */
export function change(percent) {
  const arrow = percent > 0 ? "▲" : percent < 0 ? "▼" : "●";
  const sign = percent > 0 ? "+" : percent < 0 ? "−" : "";
  return `${arrow} ${sign}${grouping(2, 2).format(Math.abs(percent))} %`;
}

const two = (number) => String(number).padStart(2, "0");

export function clock(ms) {
  const date = new Date(ms);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Today's times as a clock, others with their day. */
export function moment(ms) {
  const date = new Date(ms);
  if (date.toDateString() === new Date().toDateString()) return clock(ms);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

export function duration(seconds) {
  if (seconds < 1e-3) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${grouping(0, 1).format(seconds * 1e3)} ms`;
  if (seconds < 120) return `${grouping(0, 1).format(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${grouping(0, 1).format(seconds / 3600)} h`;
}

export function bytes(count) {
  for (const [size, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (count >= size) return `${grouping(0, 1).format(count / size)} ${unit}`;
  }
  return `${count} B`;
}

/** A decimal text of `value` rounded down to a multiple of `step`, without floating point's crumbs. */
export function floorToStep(value, step) {
  const decimals = decimalsOf(step);
  const steps = Math.floor(Number(value) / Number(step) + 1e-9);
  return (steps * Number(step)).toFixed(decimals);
}

/** Whether the decimal text is a whole multiple of `step`: by digits, not by floating point. */
export function isMultiple(text, step) {
  const decimals = Math.max(decimalsOf(text), decimalsOf(step));
  const scaled = (decimal) => {
    const [whole, part = ""] = decimal.split(".");
    return BigInt(whole + part.replace(/0+$/, "").padEnd(decimals, "0"));
  };
  return scaled(text) % scaled(step) === 0n;
}

export const isDecimal = (text) => /^[0-9]{1,20}(\.[0-9]{1,20})?$/.test(text);
