// Counts, shares and sizes as people read them.
import { once } from './once';

const plain = once(() => new Intl.NumberFormat(undefined));
const short = once(() => new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 }));

export function count(value: number): string {
  return plain().format(value);
}

export function compact(value: number | null | undefined): string {
  return value === null || value === undefined ? 'unknown' : short().format(value);
}

/** `part` of `whole` in per cent; "none yet" of nothing. */
export function share(part: number, whole: number): string {
  if (whole === 0) return 'none yet';
  const value = (100 * part) / whole;
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let at = 0;
  for (; value >= 1000 && at < units.length - 1; at += 1) value /= 1000;
  return `${value < 10 && at > 0 ? value.toFixed(1) : Math.round(value)} ${units[at] ?? ''}`;
}

/** "1 request", "2 requests". */
export function several(value: number, one: string, many = `${one}s`): string {
  return `${plain().format(value)} ${value === 1 ? one : many}`;
}

/** Two digits that count. */
export function wattHours(value: number | null | undefined): string {
  if (value === null || value === undefined) return 'unknown';
  const size = Math.abs(value);
  const [unit, one] = size >= 1000 ? ['kWh', 1000] : size >= 0.01 || size === 0 ? ['Wh', 1] : ['mWh', 0.001];
  return `${Number((value / one).toPrecision(2))} ${unit}`;
}
