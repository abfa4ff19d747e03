// What a request asks of the answer: quality, cost, time, confidentiality; as variables, as headers, in words; pure.

export type DataClass = 'public' | 'internal' | 'confidential';

export interface Wishes {
  /** 0..1; 0: no wish. */
  minQuality: number;
  /** A decimal text in dollars; empty: no wish. */
  maxCostUsd: string;
  /** Milliseconds; 0: no wish. */
  maxMs: number;
  dataClass: DataClass | '';
  online: boolean;
}

export const NONE: Wishes = { minQuality: 0, maxCostUsd: '', maxMs: 0, dataClass: '', online: true };

/** Steps of the sliders; the first one is no wish. */
export const COSTS = ['', '0.1', '0.01', '0.001', '0.0001', '0.00001', '0.000001'] as const;
export const TIMES = [0, 60_000, 20_000, 10_000, 5_000, 2_000, 1_000, 500] as const;

export function variables(wishes: Wishes): {
  minQuality: number | null;
  maxCostUsd: string | null;
  maxMs: number | null;
  dataClass: DataClass | null;
  online: 'allow' | 'deny' | null;
} {
  return {
    minQuality: wishes.minQuality > 0 ? wishes.minQuality : null,
    maxCostUsd: wishes.maxCostUsd || null,
    maxMs: wishes.maxMs || null,
    dataClass: wishes.dataClass || null,
    online: wishes.online ? null : 'deny',
  };
}

/** The same as headers of /v1. */
export function headers(wishes: Wishes): Record<string, string> {
  const found: Record<string, string> = {};
  if (wishes.minQuality > 0) found['x-sizewise-min-quality'] = String(wishes.minQuality);
  if (wishes.maxCostUsd) found['x-sizewise-max-cost-usd'] = wishes.maxCostUsd;
  if (wishes.maxMs) found['x-sizewise-max-ms'] = String(wishes.maxMs);
  if (wishes.dataClass) found['x-sizewise-data-class'] = wishes.dataClass;
  if (!wishes.online) found['x-sizewise-online'] = 'deny';
  return found;
}
