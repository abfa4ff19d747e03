// One model's answer, whole or as a stream of frames, in the shape of OpenAI's chat API.

import { garbled, upstreamError } from './upstream_error.js';
import { SseDecoder } from './sse.js';
import { readUsage, type Usage } from './usage.js';

export interface ToolCall {
  type: string;
  name: string;
  arguments: string;
}

export interface Choice {
  index: number;
  text: string;
  finish: string | null;
  calls: ToolCall[];
}

/** `body`: as the model wrote it. */
export interface Reply {
  body: string;
  choices: Choice[];
  usage: Usage | null;
}

interface WireCall {
  type?: string;
  function?: { name?: string; arguments?: string } | null;
}

interface WireChoice {
  index?: number;
  message?: { content?: string | null; tool_calls?: WireCall[] | null } | null;
  delta?: Record<string, unknown> | null;
  finish_reason?: string | null;
}

interface Wire {
  id?: string;
  model?: string;
  choices?: WireChoice[] | null;
  usage?: unknown;
  error?: unknown;
}

/** Throws upstream_garbled. */
export function readReply(body: string): Reply {
  const seen = parse(body, 'not JSON');
  if (!Array.isArray(seen.choices)) {
    throw seen.error ? upstreamError(502, null, body) : garbled('it has no `choices`');
  }
  if (!seen.choices.length) throw garbled('`choices` is empty');
  const choices = seen.choices.map((each, place) => {
    if (typeof each?.message !== 'object' || each.message === null) throw garbled('a choice has no message');
    return {
      index: each.index ?? place,
      text: each.message.content ?? '',
      finish: each.finish_reason ?? null,
      calls: (each.message.tool_calls ?? []).map(readCall),
    };
  });
  return { body, choices, usage: readUsage(seen.usage) };
}

function readCall(call: WireCall): ToolCall {
  return { type: call.type || 'function', name: call.function?.name ?? '', arguments: call.function?.arguments ?? '' };
}

function parse(text: string, what: string): Wire {
  try {
    const seen: unknown = JSON.parse(text);
    if (typeof seen === 'object' && seen !== null) return seen as Wire;
  } catch {
    // told below
  }
  throw garbled(what);
}

/** A payload to pass on; `finish`: it ends a choice, and waits for what the whole answer cost. */
export interface Frame {
  payload: string;
  finish: boolean;
}

/** Reads one stream: frames to pass on, and what the whole answer was. A frame without content goes with the next one. */
export class StreamReader {
  done = false;
  usage: Usage | null = null;
  id = '';
  model = '';
  readonly choices = new Map<number, Choice>();
  private pending = '';
  private readonly decoder = new SseDecoder();

  constructor(private readonly stripUsage: boolean) {}

  /** Throws upstream_garbled, and the error that the upstream sends. */
  feed(bytes: Uint8Array): Frame[] {
    let payloads: string[];
    try {
      payloads = this.decoder.feed(bytes);
    } catch (fault) {
      throw garbled(fault instanceof RangeError ? fault.message : 'a stream frame is not UTF-8');
    }
    return payloads.flatMap((each) => this.read(each));
  }

  /** Throws upstream_garbled if the stream ended before the answer did. */
  end(): void {
    if (!this.choices.size) throw garbled('the stream ended without content');
    if ([...this.choices.values()].some((each) => each.finish === null)) {
      throw garbled('the stream ended before the answer was complete');
    }
  }

  private read(payload: string): Frame[] {
    if (payload === '[DONE]') this.done = true;
    if (this.done) return [];
    const chunk = parse(payload, 'a stream frame is not a chunk');
    if (chunk.error !== undefined && chunk.error !== null) throw upstreamError(502, null, payload);
    if (!this.model) [this.model, this.id] = [chunk.model ?? '', chunk.id ?? ''];
    const choices = chunk.choices ?? [];
    if (chunk.usage) {
      this.usage = readUsage(chunk.usage) ?? this.usage;
      if (!choices.length) return [];
    }
    let finish = false;
    let content = false;
    for (const choice of choices) {
      const { ended, spoke } = this.grow(choice);
      finish ||= ended;
      content ||= spoke;
    }
    if (!finish && !content) {
      this.pending += `${payload}\n\ndata: `;
      return [];
    }
    const own = chunk.usage && this.stripUsage ? withoutUsage(chunk) : payload;
    const whole = this.pending + own;
    this.pending = '';
    return [{ payload: whole, finish }];
  }

  private grow(choice: WireChoice): { ended: boolean; spoke: boolean } {
    const index = choice.index ?? 0;
    const grown = this.choices.get(index) ?? { index, text: '', finish: null, calls: [] };
    const delta = choice.delta ?? {};
    const text = typeof delta['content'] === 'string' ? delta['content'] : '';
    grown.text += text;
    const spoke = Object.entries(delta).some(
      ([name, value]) => name !== 'role' && value !== null && value !== '' && !(Array.isArray(value) && !value.length),
    );
    if (choice.finish_reason) grown.finish = choice.finish_reason;
    if (spoke || choice.finish_reason) this.choices.set(index, grown);
    return { ended: Boolean(choice.finish_reason), spoke };
  }
}

function withoutUsage(chunk: Wire): string {
  const { usage: _, ...rest } = chunk;
  return JSON.stringify(rest);
}
