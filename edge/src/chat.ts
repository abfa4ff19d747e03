// A chat body of OpenAI's API: the checked fields, and every other as it was written. Sends nothing.

import { EdgeError } from './errors.js';
import { HINT_FIELD, kindOf, readObject, utf8Length, type JsonObject } from './json.js';
import { own } from './lookup.js';

export interface Part {
  type: string;
  text?: string;
  [field: string]: unknown;
}

export interface Message {
  role: string;
  content?: string | Part[] | null;
  tool_calls?: unknown[] | null;
  tool_call_id?: string | null;
  [field: string]: unknown;
}

/** `raw`: every field but `sizewise`, as written. */
export interface Chat {
  model: string;
  messages: Message[];
  raw: Map<string, string>;
  stream: boolean;
  includeUsage: boolean;
  maxTokens: number | null;
  n: number;
  logprobs: boolean;
  tools: boolean;
  schema: boolean;
  temperature: number | null;
  options: Record<string, unknown> | null;
}

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function'];
const COUNT = [1, 10_000_000] as const;
/** Type, and the API's own bounds. */
const FIELDS: Record<string, [kind: string, bounds?: readonly [number, number]]> = {
  stream: ['bool'],
  stream_options: ['object'],
  max_tokens: ['int', COUNT],
  max_completion_tokens: ['int', COUNT],
  n: ['int', [1, 128]],
  temperature: ['float', [0, 2]],
  top_p: ['float', [0, 1]],
  presence_penalty: ['float', [-2, 2]],
  frequency_penalty: ['float', [-2, 2]],
  logprobs: ['bool'],
  top_logprobs: ['int', [0, 20]],
  seed: ['int'],
  tools: ['array'],
  response_format: ['object'],
};

export function readChat(text: string): Chat {
  return chatOf(readObject(text));
}

/** Throws bad_body, which names the field. */
export function chatOf({ value, raw }: JsonObject): Chat {
  for (const name of raw.keys()) checkField(name, value[name]);
  for (const name of ['model', 'messages']) {
    if (!raw.has(name))
      throw new EdgeError('bad_body', `the body: object missing required field \`${name}\``, HINT_FIELD);
  }
  const messages = value['messages'] as Message[];
  if (messages.length === 0) {
    throw new EdgeError('bad_body', '`messages`: expected `array` of length >= 1', 'send a message', {
      param: 'messages',
    });
  }
  const wishes = value['sizewise'];
  const fields = new Map(raw);
  fields.delete('sizewise');
  const limits = [value['max_completion_tokens'], value['max_tokens']].filter((each) => typeof each === 'number');
  const shape = value['response_format'] as { type?: string } | null | undefined;
  const streamed = value['stream_options'] as { include_usage?: boolean } | null | undefined;
  return {
    model: value['model'] as string,
    messages,
    raw: fields,
    stream: value['stream'] === true,
    includeUsage: streamed?.include_usage === true,
    maxTokens: limits.length ? Math.max(...(limits as number[])) : null,
    n: (value['n'] as number | null | undefined) ?? 1,
    logprobs: value['logprobs'] === true,
    tools: Array.isArray(value['tools']) && value['tools'].length > 0,
    schema: shape != null && (shape.type ?? 'text') !== 'text',
    temperature: (value['temperature'] as number | null | undefined) ?? null,
    options: optionsOf(wishes),
  };
}

function optionsOf(wishes: unknown): Record<string, unknown> | null {
  if (wishes === undefined || wishes === null) return null;
  if (typeof wishes === 'object' && !Array.isArray(wishes)) return wishes as Record<string, unknown>;
  throw new EdgeError('bad_body', `\`sizewise\`: expected \`object\`, got \`${kindOf(wishes)}\``, HINT_FIELD, {
    param: 'sizewise',
  });
}

function checkField(name: string, value: unknown): void {
  if (name === 'model') return expect(name, 'str', value, false);
  if (name === 'messages') {
    expect(name, 'array', value, false);
    (value as unknown[]).forEach((each, place) => checkMessage(each, `messages[${place}]`));
    return;
  }
  if (name === 'stop') {
    if (Array.isArray(value)) value.forEach((each, place) => expect(`stop[${place}]`, 'str', each, false));
    else if (value !== null && typeof value !== 'string') throw mismatch(name, 'str | array | null', value);
    return;
  }
  const known = own(FIELDS, name);
  if (!known) return;
  const [kind, bounds] = known;
  expect(name, kind, value, true);
  if (!bounds || value === null) return;
  const [least, most] = bounds;
  const at =
    (value as number) < least ? `>= ${shown(least, kind)}` : (value as number) > most ? `<= ${shown(most, kind)}` : '';
  if (at) throw bad(name, `expected \`${kind}\` ${at}`);
}

function shown(bound: number, kind: string): string {
  return kind === 'float' ? bound.toFixed(1) : `${bound}`;
}

function checkMessage(message: unknown, path: string): void {
  expect(path, 'object', message, false);
  const seen = message as Message;
  if (!('role' in seen)) throw bad(path, 'object missing required field `role`');
  expect(`${path}.role`, 'str', seen.role, false);
  if (!ROLES.includes(seen.role)) throw bad(`${path}.role`, `invalid enum value '${seen.role.slice(0, 100)}'`);
  const { content } = seen;
  if (content === undefined || content === null || typeof content === 'string') return;
  if (!Array.isArray(content)) throw mismatch(`${path}.content`, 'str | array | null', content);
  content.forEach((part, place) => {
    const where = `${path}.content[${place}]`;
    expect(where, 'object', part, false);
    if (!('type' in part)) throw bad(where, 'object missing required field `type`');
    expect(`${where}.type`, 'str', part.type, false);
    if ('text' in part) expect(`${where}.text`, 'str', part.text, false);
  });
}

function expect(path: string, kind: string, value: unknown, optional: boolean): void {
  const found = kindOf(value);
  if (found === kind || (optional && value === null) || (kind === 'float' && found === 'int')) return;
  throw mismatch(path, optional ? `${kind} | null` : kind, value);
}

function mismatch(path: string, kind: string, value: unknown): EdgeError {
  return bad(path, `expected \`${kind}\`, got \`${kindOf(value)}\``);
}

function bad(path: string, why: string): EdgeError {
  return new EdgeError('bad_body', `\`${path}\`: ${why}`, HINT_FIELD, { param: path });
}

// ---- what it holds ---------------------------------------------------------------------------------------------------

const MODALITIES: Record<string, string> = {
  image_url: 'image',
  input_image: 'image',
  input_audio: 'audio',
  file: 'file',
  input_file: 'file',
};

/** All text of a message, its parts joined by newlines. */
export function messageText(message: Message): string {
  if (typeof message.content === 'string') return message.content;
  return (message.content ?? [])
    .map((part) => part.text ?? '')
    .filter(Boolean)
    .join('\n');
}

export function modalitiesOf(chat: Chat): Set<string> {
  const found = new Set<string>();
  for (const { content } of chat.messages) {
    for (const part of Array.isArray(content) ? content : []) {
      const kind = own(MODALITIES, part.type);
      if (kind) found.add(kind);
    }
  }
  return found;
}

/** UTF-8 bytes that a model must read, and the parts that are no text. */
export function measure(chat: Chat): { bytes: number; media: number } {
  const tools = utf8Length(chat.raw.get('tools') ?? '');
  if (modalitiesOf(chat).size === 0) return { bytes: utf8Length(chat.raw.get('messages') ?? '') + tools, media: 0 };
  let bytes = tools;
  let media = 0;
  for (const message of chat.messages) {
    bytes += utf8Length(messageText(message));
    for (const part of Array.isArray(message.content) ? message.content : []) {
      if (part.type !== 'text' && part.type !== 'refusal') media += 1;
    }
  }
  return { bytes, media };
}
