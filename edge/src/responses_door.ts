// /v1/responses without state: OpenAI's newer API in front of the chats, for text; everything else is the gateway's.

import { readChat, type Chat } from './chat.js';
import { given, objectsOf, type ChatUsage, type Door, type Piece } from './door.js';
import { EdgeError } from './errors.js';
import { writeJson } from './exact_json.js';
import { readObject } from './json.js';
import { event, translateStream, type EventWriter } from './translated_stream.js';

type Json = Record<string, unknown>;

const COPIED = ['model', 'temperature', 'top_p', 'stream', 'user', 'sizewise'];
/** What a response repeats of its request, with the API's defaults: strict clients require the numbers. */
const REPEATED: Json = {
  background: false,
  frequency_penalty: 0,
  instructions: null,
  max_output_tokens: null,
  max_tool_calls: null,
  metadata: {},
  parallel_tool_calls: true,
  presence_penalty: 0,
  prompt_cache_key: null,
  reasoning: { effort: null, summary: null },
  safety_identifier: null,
  service_tier: 'default',
  temperature: 1,
  text: { format: { type: 'text' } },
  tool_choice: 'auto',
  tools: [],
  top_logprobs: 0,
  top_p: 1,
  truncation: 'disabled',
  user: null,
};
const KNOWN = new Set([...COPIED, 'input', 'instructions', 'max_output_tokens', 'metadata', 'store']);
const INCOMPLETE: Record<string, string> = { length: 'max_output_tokens', content_filter: 'content_filter' };
const TEXTS = ['input_text', 'output_text', 'text'];

/** Fields of a response that its chat does not have. */
const requests = new WeakMap<Chat, Json>();

export const RESPONSES: Door = { endpoint: 'responses', read, show, error: null };

function read(body: string): Chat | null {
  const { value } = readObject(body);
  for (const [name] of given(value)) if (!KNOWN.has(name)) return null;
  if (value['store'] !== false) return null;
  const messages = messagesOf(value['input']);
  if (!messages) return null;
  const fields: Json = {};
  for (const name of COPIED) if (name in value) fields[name] = value[name];
  if (value['max_output_tokens']) fields['max_tokens'] = value['max_output_tokens'];
  if (value['stream'] === true) fields['stream_options'] = { include_usage: true };
  const system = value['instructions'] ? [{ role: 'system', content: value['instructions'] }] : [];
  const chat = readChat(writeJson({ ...fields, messages: [...system, ...messages] }));
  requests.set(chat, value);
  return chat;
}

function messagesOf(input: unknown): Json[] | null {
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  if (!Array.isArray(input)) {
    throw new EdgeError('bad_body', '`input`: expected `str | array`', 'see the API reference for this field', {
      param: 'input',
    });
  }
  const found: Json[] = [];
  for (const { type, role, content } of objectsOf(input, 'input')) {
    if ((type ?? 'message') !== 'message' || typeof role !== 'string') return null;
    if (typeof content === 'string') found.push({ role, content });
    else if (isText(content)) {
      const texts = content.map(({ text }) => ({ type: 'text', text }));
      found.push({ role, content: texts.length === 1 ? texts[0]?.text : texts });
    } else return null;
  }
  return found;
}

function isText(content: unknown): content is Json[] {
  return Array.isArray(content) && objectsOf(content, 'content').every(({ type }) => TEXTS.includes(type as string));
}

// ---- answers ---------------------------------------------------------------------------------------------------------

interface ChatAnswer {
  choices: [{ message: { content?: string | null; tool_calls?: unknown[] }; finish_reason?: string }];
  usage?: ChatUsage;
}

async function show(answer: Response, asked: Chat, trace: string): Promise<Response> {
  const model = answer.headers.get('x-sizewise-model') ?? asked.model;
  const frame = new Frame(trace, model, requests.get(asked) ?? {});
  if (asked.stream) return translateStream(answer, new ResponseEvents(frame));
  const said = (await answer.json()) as ChatAnswer;
  const [{ message, finish_reason: finish }] = said.choices;
  const headers = new Headers(answer.headers);
  const shown = frame.complete(message.content ?? '', finish ?? 'stop', said.usage ?? null);
  return new Response(writeJson(shown), { headers });
}

/** A response, before and after its text. */
class Frame {
  readonly id: string;
  readonly itemId: string;
  private readonly created = Math.floor(Date.now() / 1000);

  constructor(
    trace: string,
    private readonly model: string,
    private readonly request: Json,
  ) {
    this.id = `resp_${trace}${trace.slice(0, 16)}`;
    this.itemId = `msg_sw${this.id.slice(-24)}00`;
  }

  begun(): Json {
    const said = Object.fromEntries(Object.keys(REPEATED).map((name) => [name, this.request[name] ?? REPEATED[name]]));
    return {
      id: this.id,
      object: 'response',
      created_at: this.created,
      status: 'in_progress',
      completed_at: null,
      error: null,
      incomplete_details: null,
      model: this.model,
      output: [],
      previous_response_id: null,
      store: false,
      usage: null,
      ...said,
    };
  }

  item(status: string, content: Json[]): Json {
    return { id: this.itemId, type: 'message', status, role: 'assistant', content };
  }

  complete(text: string, finish: string, usage: ChatUsage | null): Json {
    const reason = INCOMPLETE[finish];
    const status = reason ? 'incomplete' : 'completed';
    return {
      ...this.begun(),
      status,
      completed_at: reason ? null : Math.floor(Date.now() / 1000),
      incomplete_details: reason ? { reason } : null,
      output: [this.item(status, [part(text)])],
      usage: usageOf(usage),
    };
  }
}

function part(text: string): Json {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

function usageOf(usage: ChatUsage | null): Json {
  const [input, output] = [usage?.prompt_tokens ?? 0, usage?.completion_tokens ?? 0];
  const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cached, cache_write_tokens: 0 },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: usage?.completion_tokens_details?.reasoning_tokens ?? 0 },
    total_tokens: input + output,
  };
}

class ResponseEvents implements EventWriter {
  private number = 0;
  private text = '';
  private finish = 'stop';
  private usage: ChatUsage | null = null;
  private ours: object = {};

  constructor(private readonly frame: Frame) {}

  start(): string {
    const response = this.frame.begun();
    return (
      this.event('response.created', { response }) +
      this.event('response.in_progress', { response }) +
      this.event('response.output_item.added', { output_index: 0, item: this.frame.item('in_progress', []) }) +
      this.event('response.content_part.added', { ...this.place(), part: part('') })
    );
  }

  write(piece: Piece): string {
    this.finish = piece.finish ?? this.finish;
    this.usage = piece.usage ?? this.usage;
    this.ours = piece.sizewise ?? this.ours;
    if (!piece.text) return '';
    this.text += piece.text;
    return this.event('response.output_text.delta', { ...this.place(), delta: piece.text, logprobs: [] });
  }

  end(): string {
    const response = this.frame.complete(this.text, this.finish, this.usage);
    const [item] = response['output'] as Json[];
    const last = response['status'] === 'completed' ? 'response.completed' : 'response.incomplete';
    return (
      this.event('response.output_text.done', { ...this.place(), text: this.text, logprobs: [] }) +
      this.event('response.content_part.done', { ...this.place(), part: part(this.text) }) +
      this.event('response.output_item.done', { output_index: 0, item }) +
      this.event(last, { response, sizewise: this.ours })
    );
  }

  fail({ message, code }: { message: string; code: string }): string {
    return this.event('error', { message, code, param: null });
  }

  private place(): Json {
    return { item_id: this.frame.itemId, output_index: 0, content_index: 0 };
  }

  private event(type: string, said: Json): string {
    return event({ type, ...said, sequence_number: this.number++ });
  }
}
