// /v1/chat/completions: a chat's bytes in, the answer out, whole or as a stream that nothing holds back.

import { answerChat, planOf, totalCost, type Answered, type Attempted, type Question } from './answering.js';
import { cached, cacheKey, keep } from './cache.js';
import { dollars } from './candidates.js';
import type { Started } from './attempt.js';
import { asEdgeError, EdgeError } from './errors.js';
import type { Release, Row } from './release.js';
import type { Frame } from './reply.js';
import { DONE, frame, SSE_HEADERS } from './sse.js';
import { estimateUsage, writeUsage, type Usage } from './usage.js';

/** Pause between two looks whether the key of a stream that goes on may still ask. */
const RENEW_MS = 10_000;
const REFUSED = ['invalid_api_key', 'forbidden'];

export interface Finished {
  attempts: Attempted[];
  answered: Answered | null;
  error: EdgeError | null;
  /** Of an answer from the cache. */
  cached?: { model: string; why: string };
}

/** `onEnd` is called once, when the last byte was sent or the answer broke; `onWord` with each piece of a stream. */
export async function chatResponse(
  release: Release,
  question: Question,
  trace: string,
  onEnd: (finished: Finished) => void,
  onWord: () => void = () => undefined,
): Promise<Response> {
  const attempts: Attempted[] = [];
  try {
    const { chat, caller, options } = question;
    const plan = planOf(release, chat, caller, options);
    const key = await cacheKey(release, caller, plan, chat, options.cache);
    const hit = await cached(key);
    if (hit) {
      const response = fromCache(hit, trace);
      const said = (name: string): string => response.headers.get(name) ?? '';
      const shown = { model: said('x-sizewise-model'), why: said('x-sizewise-why') };
      onEnd({ attempts, answered: null, error: null, cached: shown });
      return response;
    }
    const answered = await answerChat(release, question, attempts);
    const { answer, degraded } = answered.outcome;
    const headers = headersOf(answered, trace);
    if (answer?.kind === 'stream') return streamed(answered, question, trace, headers, onEnd, onWord);
    onEnd({ attempts, answered, error: null });
    if (degraded) headers.set('x-sizewise-degraded', '1');
    headers.set('x-sizewise-cost-usd', dollars(totalCost(attempts)));
    headers.set('content-type', 'application/json');
    if (key && answer) await keep(release, key, answer.reply.body, headers);
    return new Response(answer?.reply.body, { headers });
  } catch (fault) {
    const error = asEdgeError(fault, trace);
    error.headers['x-sizewise-cost-usd'] = dollars(totalCost(attempts));
    if (attempts.length > 1) error.headers['x-sizewise-attempts'] = `${attempts.length}`;
    onEnd({ attempts, answered: null, error });
    throw error;
  }
}

function fromCache(hit: Response, trace: string): Response {
  const age = Math.round((Date.now() - Number(hit.headers.get('x-sizewise-kept-at'))) / 1000);
  const headers = new Headers({ 'content-type': 'application/json', 'x-sizewise-trace': trace, 'x-request-id': trace });
  headers.set('x-sizewise-model', hit.headers.get('x-sizewise-model') ?? '');
  headers.set('x-sizewise-why', `the same request was answered ${age} s ago (response cache)`);
  headers.set('x-sizewise-cost-usd', '0');
  return new Response(hit.body, { headers });
}

function headersOf({ outcome, attempts, guards }: Answered, trace: string): Headers {
  const headers = new Headers({ 'x-sizewise-trace': trace, 'x-request-id': trace });
  headers.set('x-sizewise-model', latin(outcome.row.name));
  headers.set('x-sizewise-why', latin(outcome.why));
  if (attempts.length > 1) headers.set('x-sizewise-attempts', `${attempts.length}`);
  if (guards) headers.set('x-sizewise-guards', latin(guards));
  return headers;
}

function latin(text: string): string {
  return text.replace(/[^\x20-\x7e\xa0-\xff]/g, '?');
}

/** Each frame goes out as it comes in; that of the finish waits for what the answer cost. */
function streamed(
  answered: Answered,
  question: Question,
  trace: string,
  headers: Headers,
  onEnd: (finished: Finished) => void,
  onWord: () => void,
): Response {
  const { outcome, attempts } = answered;
  const { answer, row } = outcome;
  if (answer?.kind !== 'stream') throw new EdgeError('internal_error', 'not a stream');
  const { started, held, restore } = answer;
  const shown = (each: Frame): Frame => (restore ? { ...each, payload: restore.payload(each.payload) } : each);
  const rest = started.rest();
  const encoder = new TextEncoder();
  const finishing: Frame[] = [];
  let waiting: Frame[] | null = held ?? started.first;
  let ended = false;
  let revoked: EdgeError | null = null;
  const watch = setInterval(() => {
    question.asker.renew().catch((fault: unknown) => {
      if (!(fault instanceof EdgeError) || !REFUSED.includes(fault.code)) return; // KV is away: the key was good
      revoked = fault;
      started.cancel();
    });
  }, RENEW_MS);
  const end = (error: EdgeError | null): void => {
    if (ended) return;
    ended = true;
    clearInterval(watch);
    const last = attempts[attempts.length - 1];
    if (last && !held) last.usage = usageOf(started, answered.promptTokens);
    if (last && error) [last.result, last.error] = ['failed', error.code];
    onEnd({ attempts, answered, error });
  };
  const passable = (came: Frame[]): string => {
    const frames = came.map(shown);
    finishing.push(...frames.filter((each) => each.finish));
    return frames
      .filter((each) => !each.finish)
      .map((each) => frame(each.payload))
      .join('');
  };
  const body = new ReadableStream<Uint8Array>({
    async pull(control) {
      try {
        for (;;) {
          const next = waiting ? { done: false as const, value: waiting } : await nextOf(rest, held);
          if (revoked) throw revoked;
          waiting = null;
          if (next.done) {
            end(null);
            const ours = sizewiseObject(answered, row, trace);
            control.enqueue(
              encoder.encode(
                tail(
                  finishing,
                  started.reader,
                  question.chat.includeUsage ? usageOf(started, answered.promptTokens) : null,
                  ours,
                  trace,
                  row,
                ),
              ),
            );
            control.close();
            return;
          }
          const text = passable(next.value);
          if (text) {
            onWord();
            control.enqueue(encoder.encode(text));
            return;
          }
        }
      } catch (fault) {
        const error = revoked ?? interrupted(asEdgeError(fault, trace), row);
        end(error);
        control.enqueue(encoder.encode(frame(error.body())));
        control.close(); // without [DONE]; an error here would drop the event that nobody has read yet
      }
    },
    cancel() {
      started.cancel();
      end(new EdgeError('stream_interrupted', 'the client left'));
    },
  });
  for (const [name, value] of Object.entries(SSE_HEADERS)) headers.set(name, value);
  return new Response(body, { headers });
}

async function nextOf(
  rest: AsyncGenerator<Frame[]>,
  held: Frame[] | null,
): Promise<{ done: true } | { done: false; value: Frame[] }> {
  if (held) return { done: true };
  const next = await rest.next();
  return next.done ? { done: true } : { done: false, value: next.value };
}

function interrupted(error: EdgeError, row: Row): EdgeError {
  if (error.code === 'internal_error') return error;
  return new EdgeError('stream_interrupted', `${row.name} failed after its first word: ${error.message}`, 'ask again');
}

function sizewiseObject({ outcome, attempts, guards }: Answered, row: Row, trace: string): object {
  return {
    model: row.name,
    why: outcome.why,
    cost_usd: dollars(totalCost(attempts)),
    attempts: attempts.length,
    trace,
    ...(guards ? { guards } : {}),
    ...(outcome.degraded ? { degraded: outcome.degraded } : {}),
  };
}

function usageOf({ reader }: Started, promptTokens: number): Usage {
  return reader.usage ?? estimateUsage([...reader.choices.values()], promptTokens);
}

/** `used`: for a client that asked for it. */
function tail(
  finishing: Frame[],
  reader: Started['reader'],
  used: Usage | null,
  ours: object,
  trace: string,
  row: Row,
): string {
  const frames = finishing.map((each, place) => {
    const last = place === finishing.length - 1 && !used && each.payload.endsWith('}');
    return frame(last ? `${each.payload.slice(0, -1)},"sizewise":${JSON.stringify(ours)}}` : each.payload);
  });
  if (used) {
    const usage = writeUsage(used);
    const head = { id: reader.id || `chatcmpl-${trace}`, object: 'chat.completion.chunk' };
    const created = Math.floor(Date.now() / 1000);
    const chunk = { ...head, created, model: reader.model || row.name, choices: [], usage, sizewise: ours };
    frames.push(frame(JSON.stringify(chunk)));
  }
  return frames.join('') + DONE;
}
