// Quantities, sizes and times, read and written. Pure functions.

const SUFFIX = { n: 1e-9, u: 1e-6, m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 };

/** A Kubernetes quantity as a number: "100m" → 0.1, "1Gi" → 1073741824. */
export function quantity(text) {
  const match = /^([+-]?[0-9.]+(?:[eE][+-]?\d+)?)([a-zA-Z]*)$/.exec(String(text ?? "0"));
  return match ? Number(match[1]) * (SUFFIX[match[2]] ?? 1) : 0;
}

/** 0.25 → "250m", 1.5 → "1.5". */
export function cores(value) {
  if (value === 0) return "0";
  if (value < 0.001) return "<1m";
  if (value < 1) return `${Math.round(value * 1000)}m`;
  return value.toFixed(value < 10 ? 2 : 0).replace(/\.?0+$/, "");
}

export function bytes(value) {
  for (const [unit, size] of [["TiB", 2 ** 40], ["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (value >= size) return `${(value / size).toFixed(value / size < 10 ? 1 : 0)} ${unit}`;
  }
  return `${Math.round(value)} B`;
}

export const bytesPerSecond = (value) => `${bytes(value)}/s`;
export const percent = (part, whole) => (whole ? `${Math.round((part / whole) * 100)} %` : "");

export function milliseconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 10) return `${value.toFixed(2)} ms`;
  if (value < 1000) return `${value.toFixed(value < 100 ? 1 : 0)} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(2)} s`;
  return duration(value / 1000);
}

/** As kubectl writes ages: the longer it is, the coarser. */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 120) return `${s}s`;
  const [m, h, d] = [Math.floor(s / 60), Math.floor(s / 3600), Math.floor(s / 86400)];
  if (m < 10) return s % 60 ? `${m}m${s % 60}s` : `${m}m`;
  if (m < 180) return `${m}m`;
  if (h < 8) return m % 60 ? `${h}h${m % 60}m` : `${h}h`;
  if (h < 48) return `${h}h`;
  if (d < 8) return h % 24 ? `${d}d${h % 24}h` : `${d}d`;
  return d < 730 ? `${d}d` : `${Math.floor(d / 365)}y`;
}

export function age(timestamp, now = Date.now()) {
  const at = Date.parse(timestamp ?? "");
  return Number.isNaN(at) ? "" : duration((now - at) / 1000);
}

/** "14:03:07", with thousandths where the API gave them. */
export function clock(timestamp) {
  const at = new Date(timestamp);
  if (Number.isNaN(at.getTime())) return "";
  const two = (n) => String(n).padStart(2, "0");
  const fraction = /\.(\d{3})/.exec(timestamp)?.[0] ?? "";
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}${fraction}`;
}
