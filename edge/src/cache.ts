// The exact cache: the same question at temperature 0, of the same tenant, release and policy, gets the same answer.
// Kept by the platform's Cache API, one data center at a time; a stream is never kept.

import type { Chat } from './chat.js';
import { digest, type Caller } from './keys.js';
import type { Plan, Release } from './release.js';

declare const caches: {
  default: { match(key: string): Promise<Response | undefined>; put(key: string, response: Response): Promise<void> };
};

/** Fields that change no answer. */
const IGNORED = new Set(['user', 'metadata', 'store', 'safety_identifier', 'prompt_cache_key', 'stream']);

/** Where the answer would be kept; empty: this question is not cached. */
export async function cacheKey(
  release: Release,
  caller: Caller,
  plan: Plan,
  chat: Chat,
  allowed: boolean,
): Promise<string> {
  if (!release.cacheS || !allowed || chat.stream || chat.temperature !== 0 || chat.n !== 1) return '';
  const fields = [...chat.raw].filter(([name]) => !IGNORED.has(name)).sort(([one], [other]) => (one < other ? -1 : 1));
  const scope = [caller.tenant, caller.project, caller.dataClass, caller.models, caller.policies];
  return `https://cache.sizewise.invalid/${await digest(JSON.stringify([release.build, plan.policy, scope, fields]))}`;
}

export async function cached(key: string): Promise<Response | undefined> {
  return key ? caches.default.match(key) : undefined;
}

/** Keeps a whole answer, with its model and the time. */
export async function keep(release: Release, key: string, body: string, headers: Headers): Promise<void> {
  const kept = new Headers({ 'content-type': 'application/json', 'cache-control': `max-age=${release.cacheS}` });
  kept.set('x-sizewise-model', headers.get('x-sizewise-model') ?? '');
  kept.set('x-sizewise-kept-at', String(Date.now()));
  await caches.default.put(key, new Response(body, { headers: kept }));
}
