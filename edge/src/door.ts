// A door: one API in front of the same chats. It translates a body and an answer, and knows no model.

import type { Chat } from './chat.js';
import { EdgeError } from './errors.js';
import { HINT_FIELD, kindOf } from './json.js';

export interface Door {
  /** As keys are restricted to it, and as records name it. */
  endpoint: string;
  /** The chat of a body; null: only the gateway can translate it. Throws bad_body. */
  read(body: string): Chat | null;
  /** The chat's answer in this API's shape. */
  show(answer: Response, asked: Chat, trace: string): Promise<Response>;
  /** An error's body; null: as OpenAI has it. */
  error: ((error: EdgeError, trace: string) => string) | null;
}

/** What a chunk of the chat's stream says, as far as other APIs can say it. */
export interface Piece {
  text: string;
  calls: { index: number; id: string; name: string; json: string }[];
  finish: string | null;
  usage: ChatUsage | null;
  sizewise: object | null;
  error: { message: string; code: string } | null;
}

export interface ChatUsage {
  prompt_tokens: number;
  completion_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number };
  completion_tokens_details?: { reasoning_tokens?: number };
}

interface WireCall {
  index?: number;
  id?: string;
  function?: { name?: string; arguments?: string };
}

interface WireChunk {
  choices?: { delta?: { content?: string; tool_calls?: WireCall[] }; finish_reason?: string | null }[];
  usage?: ChatUsage;
  sizewise?: object;
  error?: { message: string; code: string };
}

export function readPiece(payload: string): Piece {
  const chunk = JSON.parse(payload) as WireChunk;
  const [choice] = chunk.choices ?? [];
  const calls = (choice?.delta?.tool_calls ?? []).map(({ index, id, function: said }) => ({
    index: index ?? 0,
    id: id ?? '',
    name: said?.name ?? '',
    json: said?.arguments ?? '',
  }));
  const { usage, sizewise, error } = chunk;
  return {
    text: choice?.delta?.content ?? '',
    calls,
    finish: choice?.finish_reason ?? null,
    usage: usage ?? null,
    sizewise: sizewise ?? null,
    error: error ?? null,
  };
}

/** A list of objects, of a body. Throws bad_body. */
export function objectsOf(value: unknown, path: string): Record<string, unknown>[] {
  const list = Array.isArray(value) ? value : [value];
  const wrong = list.findIndex((each) => kindOf(each) !== 'object');
  if (wrong < 0) return list as Record<string, unknown>[];
  const why = `expected \`object\`, got \`${kindOf(list[wrong])}\``;
  throw new EdgeError('bad_body', `\`${path}[${wrong}]\`: ${why}`, HINT_FIELD, { param: `${path}[${wrong}]` });
}

/** Fields that are there and not null. */
export function given(value: Record<string, unknown>): [string, unknown][] {
  return Object.entries(value).filter(([, each]) => each !== null && each !== undefined);
}
