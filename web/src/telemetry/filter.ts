// What the list of records is filtered by: in the address, and as a filter of the API; pure.

export interface Filter {
  /** `15m`, `1h`, `24h`, `7d`; empty: all that is kept. */
  within: string;
  /** Of a bar of the histogram, in ms; empty: as `within` says. */
  from: string;
  until: string;
  /** `failed`, `degraded`, or empty. */
  outcome: string;
  model: string;
  requestedModel: string;
  policy: string;
  minCost: string;
  minMs: string;
  tag: string;
  session: string;
  flow: string;
  error: string;
  why: string;
  trace: string;
}

export const FIELDS = [
  'within',
  'from',
  'until',
  'outcome',
  'model',
  'requestedModel',
  'policy',
  'minCost',
  'minMs',
  'tag',
  'session',
  'flow',
  'error',
  'why',
  'trace',
] as const satisfies readonly (keyof Filter)[];

export const HOUR = 3_600_000;
export const WITHIN: Record<string, number> = { '15m': 900_000, '1h': 3_600_000, '24h': 86_400_000, '7d': 604_800_000 };

export function fromQuery(query: URLSearchParams): Filter {
  return Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ''])) as unknown as Filter;
}

export function isEmpty(filter: Filter): boolean {
  return FIELDS.every((name) => filter[name] === '');
}

/** As the API takes it; what is no number is left out. */
export function toApi(filter: Filter, now: number): Record<string, string | number | boolean> {
  const found: Record<string, string | number | boolean> = {};
  for (const name of ['model', 'requestedModel', 'policy', 'tag', 'session', 'flow', 'error', 'why', 'trace'] as const)
    if (filter[name]) found[name] = filter[name];
  const within = WITHIN[filter.within];
  if (within !== undefined) found['since'] = now - within;
  if (/^\d+$/.test(filter.from)) found['since'] = Number(filter.from);
  if (/^\d+$/.test(filter.until)) found['until'] = Number(filter.until);
  if (filter.outcome === 'failed') found['failed'] = true;
  if (filter.outcome === 'degraded') found['degraded'] = true;
  if (/^\d+(\.\d+)?$/.test(filter.minCost)) found['minCost'] = filter.minCost;
  const slow = Number(filter.minMs);
  if (filter.minMs && Number.isFinite(slow) && slow >= 0) found['minMs'] = slow;
  return found;
}
