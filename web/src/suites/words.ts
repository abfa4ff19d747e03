// The words of evals: values in their units, intervals, where a run is; pure.
import { dollars } from '../words/money';
import { duration } from '../words/time';

/** A value of a score in its unit: a share, seconds, dollars, tokens. */
export function amount(kind: string, value: number | null): string {
  if (value === null) return 'not measured';
  if (kind === 'latency') return duration(1000 * value);
  if (kind === 'cost') return dollars(value.toFixed(12).replace(/0+$/, ''));
  if (kind === 'tokens') return value.toFixed(0);
  return `${(100 * value).toFixed(1)} %`;
}

/** A difference in the unit of its score: shares in points. */
export function change(kind: string, value: number | null): string {
  if (value === null) return 'not measured';
  const sign = value > 0 ? '+' : value < 0 ? '−' : '';
  const size = Math.abs(value);
  return ['latency', 'cost', 'tokens'].includes(kind)
    ? `${sign}${amount(kind, size)}`
    : `${sign}${(100 * size).toFixed(1)} points`;
}

export function between(say: (value: number | null) => string, low: number | null, high: number | null): string {
  if (low === null && high === null) return 'no interval';
  return `${low === null ? 'unbounded' : say(low)} to ${high === null ? 'unbounded' : say(high)}`;
}

/** `evals/runs/SUITE/RUN`. */
export const runAddress = (id: string): string => `/evals/runs/${id.split('/').map(encodeURIComponent).join('/')}`;

export const runName = (id: string): string => id.slice(id.indexOf('/') + 1);

export const CHANGES = [
  ['newlyWrong', 'Newly wrong'],
  ['newlyRight', 'Newly right'],
  ['bothRight', 'Both right'],
  ['bothWrong', 'Both wrong'],
  ['flaky', 'Flaky'],
  ['onlyInBase', 'Only in base'],
  ['onlyInHead', 'Only in head'],
] as const;
export type Change = (typeof CHANGES)[number][0];

/** How often the repeats of one item are right: `3/3`. */
export function right(values: readonly number[]): string {
  if (values.length === 0) return 'not asked';
  return `${values.filter((each) => each >= 0.5).length}/${values.length}`;
}
