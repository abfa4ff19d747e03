// /v1/messages: Anthropic's API in front of the chats: text, images and tools; everything else is the gateway's.

import { readChat, type Chat } from './chat.js';
import { given, objectsOf, type ChatUsage, type Door, type Piece } from './door.js';
import { EdgeError } from './errors.js';
import { readJson, writeJson } from './exact_json.js';
import { readObject } from './json.js';
import { own } from './lookup.js';
import { event, translateStream, type EventWriter } from './translated_stream.js';

type Json = Record<string, unknown>;

const COPIED = ['model', 'max_tokens', 'temperature', 'top_p', 'stream', 'sizewise'];
const TRANSLATED = new Set([...COPIED, 'messages', 'system', 'stop_sequences', 'tools', 'tool_choice', 'metadata']);
const STOP_REASONS: Record<string, string> = {
  length: 'max_tokens',
  tool_calls: 'tool_use',
  function_call: 'tool_use',
  content_filter: 'refusal',
};
const ERROR_TYPES: Record<number, string> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
};
/** Thrown inside for what this door cannot translate. */
const BEYOND = Symbol('beyond');

export const MESSAGES: Door = { endpoint: 'messages', read, show, error: errorBody };

function read(body: string): Chat | null {
  const { value } = readObject(body);
  if (typeof value['max_tokens'] !== 'number') {
    throw new EdgeError('bad_body', '`max_tokens` is missing', 'set the maximum number of output tokens', {
      param: 'max_tokens',
    });
  }
  if (!Array.isArray(value['messages'])) throw bad('messages', 'expected `array`');
  try {
    return readChat(writeJson(translated(value)));
  } catch (fault) {
    if (fault === BEYOND) return null;
    throw fault;
  }
}

function translated(value: Json): Json {
  const fields: Json = {};
  for (const [name, each] of given(value)) {
    if (!TRANSLATED.has(name)) throw BEYOND;
    if (COPIED.includes(name)) fields[name] = each;
  }
  const messages: Json[] = [];
  if (value['system']) messages.push({ role: 'system', content: contentOf(value['system']) });
  for (const [place, turn] of objectsOf(value['messages'], 'messages').entries()) messages.push(...turnOf(turn, place));
  fields['messages'] = messages;
  const stops = value['stop_sequences'];
  if (Array.isArray(stops) && stops.length) fields['stop'] = stops;
  const user = (value['metadata'] as Json | null | undefined)?.['user_id'];
  if (user) fields['user'] = user;
  if (Array.isArray(value['tools']) && value['tools'].length)
    fields['tools'] = objectsOf(value['tools'], 'tools').map(toolOf);
  if (value['tool_choice']) {
    for (const choice of objectsOf(value['tool_choice'], 'tool_choice')) Object.assign(fields, choiceOf(choice));
  }
  if (value['stream'] === true) fields['stream_options'] = { include_usage: true };
  return fields;
}

function turnOf({ role, content }: Json, place: number): Json[] {
  const at = `messages[${place}]`;
  if (role !== 'user' && role !== 'assistant') throw bad(`${at}.role`, 'expected `user` or `assistant`');
  if (typeof content === 'string') return [{ role, content }];
  if (!Array.isArray(content)) throw bad(`${at}.content`, 'expected `str | array`');
  const blocks = objectsOf(content, `${at}.content`);
  const rest = blocks.filter(({ type }) => type !== 'tool_result' && type !== 'tool_use');
  if (role === 'user') {
    const results = blocks.filter(({ type }) => type === 'tool_result').map(resultOf);
    if (!rest.length && results.length) return results;
    return [...results, { role, content: contentOf(rest) }];
  }
  const calls = blocks
    .filter(({ type }) => type === 'tool_use')
    .map(({ id, name, input }) => ({ id, type: 'function', function: { name, arguments: writeJson(input ?? {}) } }));
  const text = rest.length || !calls.length ? contentOf(rest) : null;
  return [{ role, content: text, ...(calls.length ? { tool_calls: calls } : {}) }];
}

function resultOf({ tool_use_id, content, is_error }: Json): Json {
  const blocks = typeof content === 'string' ? [{ type: 'text', text: content }] : objectsOf(content ?? [], 'content');
  if (blocks.some(({ type }) => type !== 'text')) throw BEYOND;
  const said = is_error ? [{ type: 'text', text: 'Error:' }, ...blocks] : blocks;
  return { role: 'tool', tool_call_id: tool_use_id, content: contentOf(said) };
}

function contentOf(content: unknown): unknown {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw BEYOND;
  const parts = objectsOf(content, 'content').map(partOf);
  const [first] = parts;
  if (!first) return '';
  return parts.length === 1 && first['type'] === 'text' ? first['text'] : parts;
}

function partOf(block: Json): Json {
  if (block['type'] === 'text') return { type: 'text', text: block['text'] };
  const source = block['source'] as Json | undefined;
  if (block['type'] !== 'image' || !source) throw BEYOND;
  if (source['type'] === 'url') return { type: 'image_url', image_url: { url: source['url'] } };
  if (source['type'] !== 'base64') throw BEYOND;
  return { type: 'image_url', image_url: { url: `data:${source['media_type']};base64,${source['data']}` } };
}

function toolOf(tool: Json): Json {
  if (tool['type'] !== undefined && tool['type'] !== null && tool['type'] !== 'custom') throw BEYOND;
  const { name, description, input_schema: parameters, strict } = tool;
  return { type: 'function', function: Object.fromEntries(given({ name, parameters, description, strict })) };
}

function choiceOf(choice: Json): Json {
  const kind = choice['type'] as string;
  const named = { type: 'function', function: { name: choice['name'] } };
  const found = own({ auto: 'auto', any: 'required', none: 'none', tool: named }, kind);
  if (!found) throw bad('tool_choice.type', `invalid enum value '${String(kind).slice(0, 100)}'`);
  return { tool_choice: found, ...(choice['disable_parallel_tool_use'] ? { parallel_tool_calls: false } : {}) };
}

function bad(path: string, why: string): EdgeError {
  return new EdgeError('bad_body', `\`${path}\`: ${why}`, 'see the API reference for this field', { param: path });
}

// ---- answers ---------------------------------------------------------------------------------------------------------

interface ChatAnswer {
  choices: [{ message: { content?: string | null; tool_calls?: ChatCall[] }; finish_reason?: string }];
  usage?: ChatUsage;
}

interface ChatCall {
  id?: string;
  function: { name: string; arguments?: string };
}

async function show(answer: Response, asked: Chat, trace: string): Promise<Response> {
  const headers = new Headers(answer.headers);
  headers.set('request-id', trace);
  const model = headers.get('x-sizewise-model') ?? asked.model;
  const shown = new Response(answer.body, { headers });
  if (asked.stream) return translateStream(shown, new MessageEvents(`msg_${trace}`, model));
  const said = (await answer.json()) as ChatAnswer;
  const { message, finish_reason: finish } = said.choices[0];
  const content: Json[] = message.content ? [textBlock(message.content)] : [];
  for (const [place, call] of (message.tool_calls ?? []).entries()) {
    const block = toolBlock(call.id ?? '', call.function.name, place);
    content.push({ ...block, input: inputOf(call.function) });
  }
  const whole = { ...messageOf(`msg_${trace}`, model), content, usage: usageOf(said.usage) };
  return new Response(writeJson({ ...whole, ...endOf(finish ?? 'stop') }), { headers });
}

function messageOf(id: string, model: string): Json {
  return { id, type: 'message', role: 'assistant', model, content: [], container: null };
}

function endOf(finish: string): Json {
  const details = { type: 'refusal', category: null, explanation: null };
  return {
    stop_reason: STOP_REASONS[finish] ?? 'end_turn',
    stop_sequence: null,
    stop_details: finish === 'content_filter' ? details : null,
  };
}

function textBlock(text: string): Json {
  return { type: 'text', text, citations: [] };
}

function toolBlock(id: string, name: string, place: number): Json {
  return { type: 'tool_use', id: id || `toolu_${place}`, name, input: {}, caller: { type: 'direct' } };
}

function inputOf({ name, arguments: json }: ChatCall['function']): unknown {
  try {
    const read = readJson(json || '{}');
    if (typeof read === 'object' && read !== null && !Array.isArray(read)) return read;
  } catch {
    // told below
  }
  throw new EdgeError('upstream_garbled', `the arguments of the call to '${name}' are not a JSON object`);
}

function finalUsage(usage: ChatUsage | null | undefined): Json {
  const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
  return {
    input_tokens: (usage?.prompt_tokens ?? 0) - cached,
    output_tokens: usage?.completion_tokens ?? 0,
    cache_read_input_tokens: cached,
    cache_creation_input_tokens: 0,
    output_tokens_details: { thinking_tokens: usage?.completion_tokens_details?.reasoning_tokens ?? 0 },
    server_tool_use: null,
  };
}

function usageOf(usage: ChatUsage | null | undefined): Json {
  const creation = { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 };
  return { ...finalUsage(usage), cache_creation: creation, service_tier: 'standard', inference_geo: null };
}

class MessageEvents implements EventWriter {
  private place = -1;
  private open = '';
  private finish = 'stop';
  private usage: ChatUsage | null = null;
  private ours: object = {};

  constructor(
    private readonly id: string,
    private readonly model: string,
  ) {}

  start(): string {
    const message = { ...messageOf(this.id, this.model), ...endOf('stop'), stop_reason: null, usage: usageOf(null) };
    return event({ type: 'message_start', message });
  }

  write(piece: Piece): string {
    this.finish = piece.finish ?? this.finish;
    this.usage = piece.usage ?? this.usage;
    this.ours = piece.sizewise ?? this.ours;
    let said = '';
    if (piece.text) said += this.block('text', textBlock('')) + this.delta({ type: 'text_delta', text: piece.text });
    for (const { index, id, name, json } of piece.calls) {
      said += this.block(`call ${index}`, toolBlock(id, name, index));
      if (json) said += this.delta({ type: 'input_json_delta', partial_json: json });
    }
    return said;
  }

  end(): string {
    const delta = { ...endOf(this.finish), container: null };
    const last = { type: 'message_delta', delta, usage: finalUsage(this.usage), sizewise: this.ours };
    return this.close() + event(last) + event({ type: 'message_stop' });
  }

  fail({ message, code }: { message: string; code: string }): string {
    return event({ type: 'error', error: { type: 'api_error', message, code } });
  }

  private block(kind: string, block: Json): string {
    if (this.open === kind) return '';
    const before = this.close();
    [this.open, this.place] = [kind, this.place + 1];
    return before + event({ type: 'content_block_start', index: this.place, content_block: block });
  }

  private delta(delta: Json): string {
    return event({ type: 'content_block_delta', index: this.place, delta });
  }

  private close(): string {
    if (!this.open) return '';
    this.open = '';
    return event({ type: 'content_block_stop', index: this.place });
  }
}

function errorBody(error: EdgeError, trace: string): string {
  const { status, message, shownCode: code, param, hint } = error;
  const type = ERROR_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error');
  const shown = { type, message, code, param, hint, docs: `docs/errors/${error.code}.md` };
  return JSON.stringify({ type: 'error', error: shown, request_id: trace });
}
