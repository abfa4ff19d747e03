// What only the gateway at home can do: the request goes on as it came, in the client's own name, and so does the answer.

import { EdgeError } from './errors.js';
import type { Release } from './release.js';

/** Headers that concern one connection, or that the platform sets. */
const OWN = [
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'cf-connecting-ip',
  'cf-ray',
  'x-forwarded-for',
];

export async function forwardHome(
  release: Release,
  request: Request,
  body: string | null,
  trace: string,
): Promise<Response> {
  if (!release.origin) {
    throw new EdgeError('model_unavailable', 'this edge has no gateway at home', 'set `origin` in [edge]');
  }
  const headers = new Headers(request.headers);
  for (const name of OWN) headers.delete(name);
  headers.set('x-sizewise-trace', trace);
  const { pathname, search } = new URL(request.url);
  try {
    const init: RequestInit = { method: request.method, headers, redirect: 'manual', signal: request.signal };
    return await fetch(release.origin + pathname + search, body === null ? init : { ...init, body });
  } catch {
    throw new EdgeError('model_unavailable', 'the gateway at home cannot be reached', 'try again later', {
      retryAfter: 10,
      retryable: true,
    });
  }
}
