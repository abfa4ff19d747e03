// The words of releases: short hashes, where a release comes from, what was done; pure.

import { count } from '../words/size';
import { ago } from '../words/time';

export const short = (hash: string): string => hash.slice(0, 12);

/** What may become live in an environment. */
export function receives(source: string): string {
  if (source === 'published') return 'follows what is published, at once';
  if (source === 'any') return 'receives any saved release';
  return `receives what is live in ${source}`;
}

const DONE: Record<string, string> = {
  first: 'became the first release',
  apply: 'applied',
  promote: 'promoted',
  rollback: 'rolled back',
  canary: 'canary begun',
};

export const done = (action: string): string => DONE[action] ?? action;

/** `2 flows, 1 prompt`. */
export function contents(parts: readonly { kind: string }[]): string {
  const counts = new Map<string, number>();
  for (const { kind } of parts) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts]
    .map(([kind, number]) => `${number} ${number === 1 ? kind.replace(/ies$/, 'y').replace(/s$/, '') : kind}`)
    .join(', ');
}

export const METRICS: Record<string, string> = {
  error: 'Errors',
  quality: 'Quality',
  slow: 'Slow answers',
  cost: 'Cost',
};

/** How much worse the canary is: of costs in per cent, of all else in points. */
export function difference(metric: string, value: number | null): string {
  if (value === null) return 'not measured';
  const size = `${Math.abs(100 * value).toFixed(1)} ${metric === 'cost' ? '%' : 'points'}`;
  return `${value > 0 ? '+' : value < 0 ? '−' : ''}${size}`;
}

interface Standing {
  readonly kind: string;
  readonly standing: 'failing' | 'lagging' | 'silent' | 'current' | 'revoked';
  readonly wantedSince: number | null;
  readonly seen: number;
}

/** What an edge made of the release that is live in its environment. */
export function outcome(edge: Standing, now = Date.now()): string {
  if (edge.standing === 'failing') return 'refused it';
  if (edge.standing === 'revoked') return 'its key is not valid';
  if (edge.standing === 'silent') return `answers with it, last heard of ${ago(edge.seen, now)}`;
  if (edge.standing === 'current') return edge.wantedSince === null ? 'answers' : 'answers with it';
  const since = edge.wantedSince ?? 0;
  const heard =
    edge.kind === 'worker'
      ? 'it gets it by: sizewise edge deploy'
      : edge.seen > since
        ? 'not taken yet'
        : 'not seen since';
  return `behind since ${ago(since, now)}, ${heard}`;
}

export const STANDINGS = ['failing', 'lagging', 'silent', 'current', 'revoked'] as const;

/** `3 failing, 970 current`. */
export function standings(counts: Record<(typeof STANDINGS)[number], number>): string {
  return STANDINGS.filter((each) => counts[each] > 0)
    .map((each) => `${count(counts[each])} ${each}`)
    .join(', ');
}
