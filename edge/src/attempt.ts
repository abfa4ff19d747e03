// One call to one model: what is sent, and the answer or the error that comes back. Retries nothing, judges nothing.

import type { Chat } from './chat.js';
import { EdgeError } from './errors.js';
import { own } from './lookup.js';
import { secretOf, type Env } from './platform.js';
import { readReply, StreamReader, type Frame, type Reply } from './reply.js';
import type { Release, Row } from './release.js';
import { garbled, upstreamError } from './upstream_error.js';
import { askWorkersAi } from './workers_ai.js';

const MAX_REPLY = 32 * 1024 * 1024;
const MAX_ERROR = 64 * 1024;

/** A stream whose first frames are there; `rest` gives the others, and throws what breaks it. */
export interface Started {
  reader: StreamReader;
  first: Frame[];
  rest: () => AsyncGenerator<Frame[]>;
  cancel: () => void;
}

export interface Caller {
  env: Env;
  release: Release;
  /** Of the client: what is asked of the gateway at home is asked in its name. */
  authorization: string;
  trace: string;
  signal: AbortSignal;
  /** Looks again whether the key may ask. Throws invalid_api_key, forbidden. */
  renew: () => Promise<unknown>;
}

export async function askWhole(row: Row, chat: Chat, by: Caller): Promise<Reply> {
  const { response, clock } = await send(row, bodyFor(row, chat, false), by);
  try {
    return readReply(await readText(response, MAX_REPLY));
  } catch (fault) {
    throw fault instanceof EdgeError
      ? fault
      : garbled(`${row.name} closed the connection in the middle of its response`);
  } finally {
    clock.stop();
  }
}

/** Waits for the first content: an error before it can still become another model's answer. */
export async function askStream(row: Row, chat: Chat, by: Caller): Promise<Started> {
  const { response, clock, cancel } = await send(row, bodyFor(row, chat, true), by);
  const kind = response.headers.get('content-type') ?? '';
  if (!kind.includes('text/event-stream') || !response.body) {
    cancel();
    const words = `the upstream sent a stream with content type '${kind.slice(0, 100)}'`;
    throw new EdgeError('upstream_garbled', words, 'check `base_url` and `wire` in [providers.NAME]');
  }
  const reader = new StreamReader(!chat.includeUsage);
  const bytes = response.body.getReader();
  const frames = framesOf(bytes, reader, row, clock);
  try {
    const first = await frames.next();
    return { reader, first: first.done ? [] : first.value, rest: () => frames, cancel };
  } catch (fault) {
    cancel();
    throw fault;
  }
}

async function* framesOf(
  bytes: ReadableStreamDefaultReader<Uint8Array>,
  reader: StreamReader,
  row: Row,
  clock: Clock,
): AsyncGenerator<Frame[]> {
  try {
    while (!reader.done) {
      const chunk = await bytes.read().catch((fault: unknown) => {
        throw unreachable(row, fault);
      });
      if (chunk.done) break;
      const frames = reader.feed(chunk.value);
      if (!frames.length) continue;
      clock.pause(); // how slowly the client reads is not the model's fault
      yield frames;
      clock.start();
    }
    reader.end();
  } finally {
    clock.stop();
  }
}

/** Aborts an attempt that waits too long for its model's next words, or whose client leaves. */
interface Clock {
  start: () => void;
  pause: () => void;
  /** The attempt has ended. */
  stop: () => void;
}

interface Sent {
  response: Response;
  clock: Clock;
  cancel: () => void;
}

async function send(row: Row, body: string, by: Caller): Promise<Sent> {
  const control = new AbortController();
  const abort = (): void => control.abort();
  by.signal.addEventListener('abort', abort);
  if (by.signal.aborted) abort();
  let late = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const pause = (): void => clearTimeout(timer);
  const start = (): void => {
    pause();
    timer = setTimeout(() => {
      late = true;
      abort();
    }, row.timeoutS * 1000);
  };
  const stop = (): void => {
    pause();
    by.signal.removeEventListener('abort', abort);
  };
  const cancel = (): void => {
    stop();
    control.abort();
  };
  start();
  try {
    const response =
      row.via === 'workers-ai'
        ? await askWorkersAi(row, body, by.env, control.signal)
        : await fetch(urlOf(row, by.release), {
            method: 'POST',
            headers: headersFor(row, by),
            body,
            redirect: 'manual',
            signal: control.signal,
          });
    if (response.status === 200) return { response, clock: { start, pause, stop }, cancel };
    const text = await readText(response, MAX_ERROR).catch(() => '');
    throw upstreamError(response.status, response.headers.get('retry-after'), text);
  } catch (fault) {
    stop();
    if (fault instanceof EdgeError) throw fault;
    if (late) {
      throw new EdgeError('upstream_timeout', `${row.name} did not answer in ${row.timeoutS} s`, 'try again later');
    }
    throw unreachable(row, fault);
  }
}

function urlOf(row: Row, release: Release): string {
  return row.via === 'origin' ? `${release.origin}/v1/chat/completions` : `${row.url}/chat/completions`;
}

function unreachable(row: Row, fault: unknown): EdgeError {
  if (fault instanceof EdgeError) return fault;
  return new EdgeError('upstream_unreachable', `${row.name} cannot be reached`, 'try again later');
}

function headersFor(row: Row, by: Caller): Headers {
  const headers = new Headers({ 'content-type': 'application/json', ...row.headers });
  for (const [name, secret] of Object.entries(row.secretHeaders)) headers.set(name, secretOf(by.env, secret));
  if (row.via === 'origin') {
    headers.set('authorization', by.authorization);
    headers.set('x-sizewise-trace', by.trace);
  }
  const key = secretOf(by.env, row.secret);
  if (key && row.auth && row.auth !== 'bearer') headers.set(row.auth, key);
  else if (key) headers.set('authorization', `Bearer ${key}`);
  return headers;
}

/** The client's own fields, with the model's name there; a stream always asks for usage. */
export function bodyFor(row: Row, chat: Chat, stream: boolean): string {
  const fields = new Map(chat.raw);
  fields.set('model', JSON.stringify(row.via === 'origin' ? row.name : row.model));
  if (stream && !chat.includeUsage) {
    const said = JSON.parse(fields.get('stream_options') ?? 'null') as object | null;
    fields.set('stream_options', JSON.stringify({ ...said, include_usage: true }));
  }
  if (!stream) {
    fields.delete('stream');
    fields.delete('stream_options');
  } else fields.set('stream', 'true');
  for (const name of row.drop) fields.delete(name);
  const named = [...fields].map(([name, raw]) => `${JSON.stringify(own(row.rename, name) ?? name)}:${raw}`);
  return `{${named.join(',')}}`;
}

async function readText(response: Response, most: number): Promise<string> {
  if (Number(response.headers.get('content-length') ?? 0) > most) throw garbled('its body is too long');
  const text = await response.text();
  if (text.length > most) throw garbled('its body is too long');
  return text;
}
