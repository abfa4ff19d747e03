// Requests per minute of a key: by the platform's rate limiter where there is one, else counted in this isolate.

import { EdgeError } from './errors.js';
import type { Env } from './platform.js';
import type { Release } from './release.js';

const MINUTE_MS = 60_000;
const MAX_KEYS = 10_000;
const windows = new Map<string, { start: number; count: number }>();

export async function limitRate(env: Env, release: Release, key: string): Promise<void> {
  const most = release.limits.requestsPerMinute;
  if (!most) return;
  const allowed = env.LIMITER ? (await env.LIMITER.limit({ key })).success : countHere(key, most);
  if (allowed) return;
  throw new EdgeError('busy', `the key has used its ${most} requests per minute`, 'try again later', {
    retryAfter: 60,
  });
}

function countHere(key: string, most: number): boolean {
  const now = Date.now();
  const seen = windows.get(key);
  if (!seen || now - seen.start >= MINUTE_MS) {
    if (windows.size >= MAX_KEYS) windows.clear();
    windows.set(key, { start: now, count: 1 });
    return true;
  }
  seen.count += 1;
  return seen.count <= most;
}
