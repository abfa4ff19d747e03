// What `sizewise edge dev` gives a Worker in place of Cloudflare's services: KV, Cache API, Workers AI. Local doubles.
// KV holds what the command was given; Workers AI is asked at its provider's address, in OpenAI's API.

import { WorkerEntrypoint } from 'cloudflare:workers';

interface LocalEnv {
  VALUES: Record<string, unknown>;
  MODELS: Record<string, { url: string; secret: string }>;
  [secret: string]: unknown;
}

const written = new Map<string, string>();

/** KV's own protocol: GET, PUT and DELETE of /<key>?urlencoded=true, and GET /?prefix=...&key_count_limit=... */
export default class Kv extends WorkerEntrypoint<LocalEnv> {
  async fetch(request: Request): Promise<Response> {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
    if (request.method === 'PUT') written.set(key, await request.text());
    else if (request.method === 'DELETE') written.delete(key);
    else if (key === '') return Response.json({ keys: this.named(request.url), list_complete: true });
    else if (written.has(key)) return new Response(written.get(key));
    if (request.method !== 'GET') return new Response(null, { status: 204 });
    const found = this.env.VALUES[key];
    return found === undefined ? new Response(null, { status: 404 }) : Response.json(found);
  }

  private named(url: string): { name: string }[] {
    const asked = new URL(url).searchParams;
    const names = [...written.keys()].filter((name) => name.startsWith(asked.get('prefix') ?? ''));
    return names.slice(0, Number(asked.get('key_count_limit') ?? 1_000)).map((name) => ({ name }));
  }
}

const kept = new Map<string, { until: number; status: number; headers: [string, string][]; body: ArrayBuffer }>();

/** The protocol behind the Cache API: GET, PUT and PURGE; a hit says so in `cf-cache-status`. */
export class Cache extends WorkerEntrypoint<LocalEnv> {
  async fetch(request: Request): Promise<Response> {
    const key = request.url;
    if (request.method === 'PUT') {
      const stored = parseHttp(await request.arrayBuffer());
      const seconds = Number(/max-age=(\d+)/.exec(stored.headers.get('cache-control') ?? '')?.[1] ?? 0);
      const { status, headers, body } = stored;
      if (seconds) kept.set(key, { until: Date.now() + seconds * 1000, status, headers: [...headers], body });
      return new Response(null, { status: 204 });
    }
    const found = kept.get(key);
    if (!found || found.until < Date.now())
      return new Response(null, { status: 504, headers: { 'cf-cache-status': 'MISS' } });
    return new Response(found.body, { status: found.status, headers: [...found.headers, ['cf-cache-status', 'HIT']] });
  }
}

function parseHttp(bytes: ArrayBuffer): { status: number; headers: Headers; body: ArrayBuffer } {
  const text = new TextDecoder('latin1').decode(bytes);
  const end = text.indexOf('\r\n\r\n');
  const [first = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers = new Headers();
  for (const line of lines) headers.append(line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim());
  const length = Number(headers.get('content-length') ?? bytes.byteLength - end - 4);
  headers.delete('transfer-encoding');
  return { status: Number(first.split(' ')[1]), headers, body: bytes.slice(end + 4, end + 4 + length) };
}

export class Ai extends WorkerEntrypoint<LocalEnv> {
  async run(model: string, input: Record<string, unknown>): Promise<unknown> {
    const at = this.env.MODELS[model];
    if (!at) throw new Error(`5007: No such model ${model}`);
    const secret = at.secret ? this.env[at.secret] : undefined;
    const response = await fetch(`${at.url}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(secret ? { authorization: `Bearer ${secret}` } : {}) },
      body: JSON.stringify({ ...input, model }),
    });
    if (!response.ok) throw new Error(response.status === 429 ? '3036: limit' : `5028: HTTP ${response.status}`);
    return input['stream'] ? response.body : response.json();
  }
}
