// Prometheus' text format, as far as the gateway writes it. Pure.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** Samples {labels, value} by metric name. */
export function parseMetrics(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = line.startsWith("#") ? null : LINE.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of (match[2] ?? "").matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, "$1");
    if (!found.has(match[1])) found.set(match[1], []);
    found.get(match[1]).push({ labels, value: Number(match[3]) });
  }
  return found;
}

export const samples = (metrics, name) => metrics.get(name) ?? [];

/** The sum of a metric's samples whose labels are like `labels`; 0 when there are none. */
export function sum(metrics, name, labels = {}) {
  const wanted = Object.entries(labels);
  return samples(metrics, name)
    .filter((one) => wanted.every(([label, value]) => one.labels[label] === value))
    .reduce((total, one) => total + one.value, 0);
}

/** The quantile of a histogram's growth from `before` to `now`, in its unit; null when nothing was observed between. */
export function quantile(now, before, name, part, labels = {}) {
  const bounds = [...new Set(samples(now, `${name}_bucket`).map((one) => one.labels.le))]
    .map((le) => ({ le, upper: le === "+Inf" ? Infinity : Number(le) }))
    .sort((one, other) => one.upper - other.upper);
  const grown = ({ le }) => sum(now, `${name}_bucket`, { ...labels, le }) - sum(before, `${name}_bucket`, { ...labels, le });
  const total = bounds.length ? grown(bounds.at(-1)) : 0;
  if (!(total > 0)) return null;
  let [lower, below] = [0, 0];
  for (const bound of bounds) {
    const count = grown(bound);
    if (count >= part * total) {
      if (bound.upper === Infinity) return lower;
      return lower + (bound.upper - lower) * ((part * total - below) / (count - below || 1));
    }
    [lower, below] = [bound.upper, count];
  }
  return lower;
}
