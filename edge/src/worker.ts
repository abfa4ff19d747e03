// The Worker: a request to the door of its path, its errors in that door's shape. The release is data beside this file.

import data from './release.mjs';
import { planOf } from './answering.js';
import type { Caller as Asker } from './attempt.js';
import { readChat } from './chat.js';
import { chatResponse, type Finished } from './chat_door.js';
import { readDecision } from './decisions.js';
import { askedOf, decide } from './decisions_door.js';
import type { Door } from './door.js';
import { asEdgeError, EdgeError } from './errors.js';
import { forwardHome } from './forward.js';
import { decodeUtf8 } from './json.js';
import { authenticate, requirePermission } from './keys.js';
import { limitRate } from './limits.js';
import { MESSAGES } from './messages_door.js';
import { getModel, listModels } from './models_door.js';
import { readOptions } from './options.js';
import { bringHome, recordOf } from './records.js';
import type { Context, Env } from './platform.js';
import type { Release } from './release.js';
import { schemaCheck } from './schema.js';
import { RESPONSES } from './responses_door.js';

const release = data as unknown as Release;
/** The formats of a release that this runtime reads; a newer one is refused by name. */
const FORMAT = 1;
/** What the gateway alone answers: with `origin`, the request goes there in the client's own name. */
const AT_HOME = ['/v1/responses', '/v1/messages', '/v1/decisions', '/v1/embeddings', '/graphql'];
const DECISIONS = '/v1/decisions';
const CHAT: Door = { endpoint: 'chat', read: readChat, show: async (answer) => answer, error: null };
const DOORS: Record<string, Door> = {
  '/v1/chat/completions': CHAT,
  '/v1/messages': MESSAGES,
  '/v1/responses': RESPONSES,
};
const TRACE = /^[0-9a-f]{32}$/;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/;

export default {
  async fetch(request: Request, env: Env, context: Context): Promise<Response> {
    const trace = traceOf(request.headers);
    try {
      return await route(request, env, context, trace);
    } catch (fault) {
      const door = DOORS[new URL(request.url).pathname];
      return errorResponse(asEdgeError(fault, trace), trace, door);
    }
  },
};

async function route(request: Request, env: Env, context: Context, trace: string): Promise<Response> {
  if (release.format !== FORMAT) {
    const words = `the release has the format ${release.format}, and this runtime reads ${FORMAT}`;
    throw new EdgeError('model_unavailable', words, 'build and deploy it again: sizewise edge build');
  }
  const path = new URL(request.url).pathname;
  if (path === '/health')
    return Response.json({ status: 'ok', release: release.hash, build: release.build, version: release.version });
  const door = DOORS[path];
  if (door) {
    expectMethod(request, 'POST');
    return answer(door, request, env, context, trace);
  }
  if (path === '/v1/models' || path.startsWith('/v1/models/')) {
    expectMethod(request, 'GET');
    const caller = await authenticate(request.headers, env, release, 'models');
    const name = decoded(path.slice('/v1/models/'.length));
    const shown = name ? getModel(release, caller, name) : { object: 'list', data: listModels(release, caller) };
    return Response.json(shown, { headers: traceHeaders(trace) });
  }
  if (path === DECISIONS && release.decisions === 'here') {
    expectMethod(request, 'POST');
    return answerDecision(request, env, context, trace);
  }
  if (AT_HOME.some((each) => path === each || path.startsWith(`${each}/`)) && release.origin) {
    await authenticate(request.headers, env, release, path.split('/')[2] ?? 'graphql');
    return forwardHome(release, request, request.method === 'GET' ? null : await readBody(request), trace);
  }
  throw new EdgeError('not_found', `there is no ${path.slice(0, 200)} at this edge`, 'see docs/how-to/edge.md');
}

async function answer(door: Door, request: Request, env: Env, context: Context, trace: string): Promise<Response> {
  const at = Date.now();
  const caller = await authenticate(request.headers, env, release, door.endpoint);
  requirePermission(caller, 'ask');
  await limitRate(env, release, caller.id);
  const body = await readBody(request);
  const asked = door.read(body);
  if (!asked) return beyond(door, request, body, trace);
  const asker = askerOf(request, env, trace, door.endpoint);
  const options = readOptions(request.headers, asked.options);
  if (planOf(release, asked, caller, options).kind === 'origin') return forwardHome(release, request, body, trace);
  const check = asked.schema ? schemaCheck(asked) : null;
  if (asked.schema && !check) return beyond(door, request, body, trace);
  const question = { chat: asked, caller, options, asker, check };
  let first: number | null = null;
  const onEnd = (finished: Finished): void => {
    const record = recordOf(question, finished, trace, { at, first }, door.endpoint);
    ended(record ? bringHome(env, release, record) : undefined);
  };
  // told before the answer begins: a client that leaves would end the work that is told later
  let ended: (work: Promise<void> | undefined) => void = () => undefined;
  context.waitUntil(new Promise<void>((resolve) => (ended = resolve)));
  const said = await chatResponse(release, question, trace, onEnd, () => (first ??= Date.now()));
  return door.show(said, asked, trace);
}

async function answerDecision(request: Request, env: Env, context: Context, trace: string): Promise<Response> {
  const at = Date.now();
  const caller = await authenticate(request.headers, env, release, 'decisions');
  requirePermission(caller, 'ask');
  const body = await readBody(request);
  const decision = readDecision(body);
  if (!decision) return beyond(null, request, body, trace);
  for (let each = 0; each < decision.questions.length; each++) await limitRate(env, release, caller.id);
  const options = readOptions(request.headers, decision.options);
  const deciding = { release, decision, caller, options, asker: askerOf(request, env, trace, 'decisions') };
  const asked = await askedOf(deciding);
  if (!asked) return forwardHome(release, request, body, trace);
  const reports: Promise<void>[] = [];
  let ended: () => void = () => undefined;
  context.waitUntil(new Promise<void>((resolve) => (ended = resolve)).then(() => Promise.all(reports)));
  try {
    return await decide(deciding, asked, trace, (chatting, finished) => {
      const record = recordOf(chatting, finished, trace, { at, first: null }, 'decisions');
      if (record) reports.push(bringHome(env, release, record));
    });
  } finally {
    ended();
  }
}

function askerOf(request: Request, env: Env, trace: string, endpoint: string): Asker {
  const authorization = request.headers.get('authorization') ?? '';
  const renew = (): Promise<unknown> => authenticate(request.headers, env, release, endpoint);
  return { env, release, authorization, trace, signal: request.signal, renew };
}

/** A part of a path; one that is no percent-encoding is as it was written. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** What this edge cannot translate: asked at the gateway, if there is one. */
function beyond(door: Door | null, request: Request, body: string, trace: string): Promise<Response> {
  if (release.origin) return forwardHome(release, request, body, trace);
  const words = 'this request has parts that the gateway alone answers';
  const hint =
    door === RESPONSES
      ? 'send text alone with `"store": false`: an edge keeps no responses'
      : 'send text, images and tools alone; a JSON schema without `pattern`, `format` or `not`';
  throw new EdgeError('bad_request', words, hint);
}

async function readBody(request: Request): Promise<string> {
  if (request.headers.has('content-encoding') && request.headers.get('content-encoding') !== 'identity') {
    const kind = request.headers.get('content-encoding')?.slice(0, 40);
    const hint = 'send it uncompressed, without the header `content-encoding`';
    throw new EdgeError('bad_request', `the body is compressed as '${kind}'`, hint, { status: 415 });
  }
  const most = release.limits.bodyBytes;
  if (Number(request.headers.get('content-length') ?? 0) > most) throw tooLarge(most);
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of request.body ?? []) {
    size += (piece as Uint8Array).length;
    if (size > most) throw tooLarge(most);
    pieces.push(piece as Uint8Array);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return decodeUtf8(whole);
}

function tooLarge(most: number): EdgeError {
  const hint = 'send less, or raise `max_body_bytes` in [server] and build the release again';
  return new EdgeError('body_too_large', `the body is larger than ${most} bytes`, hint);
}

function expectMethod(request: Request, method: string): void {
  if (request.method === method) return;
  const words = `${request.method} is not allowed here`;
  throw new EdgeError('bad_request', words, `use ${method}`, { status: 405 });
}

function errorResponse(error: EdgeError, trace: string, door: Door | undefined): Response {
  const headers = traceHeaders(trace);
  headers.set('content-type', 'application/json');
  if (error.retryAfter !== null) headers.set('retry-after', `${Math.max(1, Math.ceil(error.retryAfter))}`);
  for (const [name, value] of Object.entries(error.headers)) headers.set(name, value);
  if (error.status === 401) headers.set('www-authenticate', 'Bearer realm="sizewise"');
  return new Response(door?.error?.(error, trace) ?? error.body(), { status: error.status, headers });
}

function traceHeaders(trace: string): Headers {
  return new Headers({ 'x-sizewise-trace': trace, 'x-request-id': trace });
}

function traceOf(headers: Headers): string {
  const own = (headers.get('x-sizewise-trace') ?? '').trim();
  if (TRACE.test(own)) return own;
  return TRACEPARENT.exec(headers.get('traceparent') ?? '')?.[1] ?? crypto.randomUUID().replaceAll('-', '');
}
