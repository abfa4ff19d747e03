// The words of releases: short hashes, where a release comes from, what was done; pure.

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

/** What the lag of an edge is measured against. */
export interface Environment {
  readonly name: string;
  readonly live: { readonly release: string } | null;
  readonly moves: readonly { readonly at: number; readonly before: string | null; readonly release: string }[];
}

/** Whether a release is live somewhere, or since when it is not. */
export function behind(
  release: string | null,
  environments: readonly Environment[],
  now = Date.now(),
): { late: boolean; words: string } {
  if (!release) return { late: false, words: 'unknown' };
  const live = environments.filter((each) => each.live?.release === release).map((each) => each.name);
  if (live.length > 0) return { late: false, words: `live in ${live.join(', ')}` };
  const left = environments.flatMap((each) => each.moves.filter((move) => move.before === release));
  const last = left.sort((a, b) => b.at - a.at)[0];
  if (!last) return { late: environments.some((each) => each.live), words: 'live nowhere' };
  return { late: true, words: `behind ${short(last.release)} since ${ago(last.at, now)}` };
}

const QUIET_MS = 120_000;

/** Nothing was heard of it for longer than its pauses between two reports explain. */
export const isQuiet = (seen: number, now = Date.now()): boolean => now - seen > QUIET_MS;
