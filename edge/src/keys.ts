// Who asks: the digest of a key, looked up in KV; a key's text is stored nowhere, and a revoked one is refused.

import { EdgeError } from './errors.js';
import type { Env } from './platform.js';
import type { DataClass, Release } from './release.js';

/** A key as `sizewise edge keys` writes it to KV under the SHA-256 of its text, in hex. `expires`: unix ms. */
export interface Caller {
  id: string;
  tenant: string;
  project: string;
  dataClass: DataClass | null;
  permissions: string[];
  expires: number | null;
  models: string[];
  policies: string[];
  endpoints: string[];
}

/** Seconds that a revoked key may still be accepted: those that KV keeps what it read. */
export const KV_CACHE_S = 60;
const HINT =
  'send it as `Authorization: Bearer KEY`; create one with: sizewise keys create, and take it along: sizewise edge keys';

export function keyText(headers: Headers): string {
  const [scheme, ...rest] = (headers.get('authorization') ?? '').split(' ');
  if (scheme?.toLowerCase() === 'bearer') return rest.join(' ').trim();
  return (headers.get('x-api-key') ?? '').trim();
}

export async function digest(text: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
  return Array.from(bytes, (each) => each.toString(16).padStart(2, '0')).join('');
}

/** The caller of `endpoint`. The lookup is by digest: its time tells nothing of a key. Throws invalid_api_key, forbidden. */
export async function authenticate(headers: Headers, env: Env, release: Release, endpoint: string): Promise<Caller> {
  const text = keyText(headers);
  if (!text) throw new EdgeError('invalid_api_key', 'no API key was sent', HINT);
  const hash = await digest(text);
  const found = release.revoked.includes(hash) ? null : await lookUp(env, hash);
  if (!isCaller(found)) throw new EdgeError('invalid_api_key', 'the API key is not valid', HINT);
  if (found.expires !== null && Date.now() >= found.expires) {
    throw new EdgeError('invalid_api_key', `the key '${found.id}' has expired`, HINT);
  }
  if (found.endpoints.length && !found.endpoints.includes(endpoint)) {
    throw new EdgeError(
      'forbidden',
      `the key '${found.id}' is not valid for the endpoint '${endpoint}'`,
      'use a key without this restriction',
    );
  }
  return found;
}

async function lookUp(env: Env, hash: string): Promise<unknown> {
  try {
    return await env.KEYS?.get(hash, { type: 'json', cacheTtl: KV_CACHE_S });
  } catch {
    const more = { retryAfter: 5, retryable: true };
    throw new EdgeError('model_unavailable', 'the keys of this edge cannot be read', 'try again later', more);
  }
}

export function requirePermission(caller: Caller, action: string): void {
  if (caller.permissions.includes(action)) return;
  throw new EdgeError(
    'forbidden',
    `this key lacks the permission \`${action}\``,
    `use a key with the permission \`${action}\``,
  );
}

/** Whether `name` is one of `patterns`: names, or `<provider>/*`. None: all are. */
export function matchesAny(name: string, patterns: string[]): boolean {
  return (
    patterns.length === 0 ||
    patterns.some((each) => each === name || (each.endsWith('/*') && name.startsWith(each.slice(0, -1))))
  );
}

function isCaller(found: unknown): found is Caller {
  const seen = found as Caller | null;
  return (
    typeof seen === 'object' &&
    seen !== null &&
    typeof seen.id === 'string' &&
    Array.isArray(seen.permissions) &&
    Array.isArray(seen.models) &&
    Array.isArray(seen.policies) &&
    Array.isArray(seen.endpoints)
  );
}
