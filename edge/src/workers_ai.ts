// Workers AI as an upstream of OpenAI's shape: asks the binding, and translates what its older models answer.

import { EdgeError } from './errors.js';
import type { Env } from './platform.js';
import type { Row } from './release.js';
import { DONE, frame, SseDecoder } from './sse.js';

interface Answer {
  response?: unknown;
  choices?: unknown;
  usage?: unknown;
  tool_calls?: { name?: string; arguments?: unknown }[];
}

/** Throws the reason of `signal` once it is aborted; an answer that comes later is dropped. */
export async function askWorkersAi(row: Row, body: string, env: Env, signal: AbortSignal): Promise<Response> {
  if (!env.AI) {
    const hint = 'deploy it with the binding AI, as sizewise edge build writes it';
    throw new EdgeError('model_unavailable', `${row.name} needs the binding of Workers AI`, hint);
  }
  const input = JSON.parse(body) as Record<string, unknown>;
  delete input['model'];
  signal.throwIfAborted();
  const running = env.AI.run(row.model, input);
  let said: unknown;
  try {
    said = await Promise.race([running, aborted(signal)]);
  } catch (fault) {
    if (!signal.aborted) throw failed(row, fault);
    void running.then(drop, () => undefined);
    throw fault;
  }
  if (said instanceof ReadableStream) {
    const chunks = abortable(said as ReadableStream<Uint8Array>, signal).pipeThrough(asChunks(row.model));
    return new Response(chunks, { headers: { 'content-type': 'text/event-stream' } });
  }
  return Response.json(wholeAnswer(row.model, said as Answer));
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

async function drop(late: unknown): Promise<void> {
  if (late instanceof ReadableStream) await late.cancel().catch(() => undefined);
}

/** Fails once `signal` is aborted, and its source is cancelled: the binding takes no signal. */
function abortable(said: ReadableStream<Uint8Array>, signal: AbortSignal): ReadableStream<Uint8Array> {
  const source = said.getReader();
  signal.addEventListener('abort', () => void source.cancel().catch(() => undefined), { once: true });
  return new ReadableStream({
    async pull(control) {
      const { done, value } = await source.read();
      signal.throwIfAborted();
      if (done) control.close();
      else control.enqueue(value);
    },
    cancel: () => source.cancel(),
  });
}

/** The error codes of Workers AI: 3036 and 3040 are limits, 5007 an unknown model. */
function failed(row: Row, fault: unknown): EdgeError {
  const words = fault instanceof Error ? fault.message : '';
  if (/\b30(36|40)\b|capacity|limit/i.test(words)) {
    return new EdgeError('upstream_busy', `the upstream is busy: ${row.name}`, 'try again later');
  }
  const hint = 'try again, or use another model';
  return new EdgeError('upstream_error', `the upstream failed: ${row.name}`, hint, { retryable: true });
}

function wholeAnswer(model: string, said: Answer): unknown {
  if (Array.isArray(said?.choices)) return said;
  const text = typeof said?.response === 'string' ? said.response : JSON.stringify(said?.response ?? '');
  const calls = (said?.tool_calls ?? []).map((each, place) => ({
    id: `call_${place}`,
    type: 'function',
    function: { name: each.name ?? '', arguments: JSON.stringify(each.arguments ?? {}) },
  }));
  const message = { role: 'assistant', content: calls.length ? null : text, refusal: null };
  return {
    id: `chatcmpl-${crypto.randomUUID()}`,
    object: 'chat.completion',
    created: Math.floor(Date.now() / 1000),
    model,
    choices: [
      {
        index: 0,
        message: calls.length ? { ...message, tool_calls: calls } : message,
        logprobs: null,
        finish_reason: calls.length ? 'tool_calls' : 'stop',
      },
    ],
    usage: said?.usage,
  };
}

function asChunks(model: string): TransformStream<Uint8Array, Uint8Array> {
  const decoder = new SseDecoder();
  const encoder = new TextEncoder();
  const head = {
    id: `chatcmpl-${crypto.randomUUID()}`,
    object: 'chat.completion.chunk',
    created: Math.floor(Date.now() / 1000),
    model,
  };
  let begun = false;
  let finished = false;
  const chunk = (delta: object, finish: string | null): string => {
    const role = begun ? {} : { role: 'assistant' };
    begun = true;
    return frame(
      JSON.stringify({ ...head, choices: [{ index: 0, delta: { ...role, ...delta }, finish_reason: finish }] }),
    );
  };
  return new TransformStream({
    transform(bytes, control) {
      for (const payload of decoder.feed(bytes)) {
        if (payload === '[DONE]') continue;
        const seen = JSON.parse(payload) as Answer;
        if (Array.isArray(seen.choices)) {
          finished ||= (seen.choices as { finish_reason?: unknown }[]).some((each) => each.finish_reason);
          control.enqueue(encoder.encode(frame(payload)));
          continue;
        }
        if (typeof seen.response === 'string' && seen.response) {
          control.enqueue(encoder.encode(chunk({ content: seen.response }, null)));
        }
        if (seen.usage) {
          if (!finished) control.enqueue(encoder.encode(chunk({}, 'stop')));
          finished = true;
          control.enqueue(encoder.encode(frame(JSON.stringify({ ...head, choices: [], usage: seen.usage }))));
        }
      }
    },
    flush(control) {
      if (!finished) control.enqueue(encoder.encode(chunk({}, 'stop')));
      control.enqueue(encoder.encode(DONE));
    },
  });
}
