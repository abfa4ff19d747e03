// A decision: its body in OpenAI's shape, the chat that asks one of its questions, and the answer to it. Sends nothing.

import { objectsOf } from './door.js';
import { EdgeError } from './errors.js';
import { HINT_FIELD, kindOf, readObject } from './json.js';

type Json = Record<string, unknown>;
type Value = string | boolean;

export interface Question {
  kind: 'predicate' | 'choice' | 'score';
  name: string | null;
  text: string;
  /** What may be answered, and what each means. */
  values: Value[];
  about: string[];
}

/** `text`: the input as the models see it. */
export interface Decision {
  model: string;
  text: string;
  questions: Question[];
  options: Json | null;
}

const KNOWN = ['input', 'questions', 'model', 'sizewise'];
/** They change no answer. */
const IGNORED = ['prompt_cache_key', 'prompt_cache_options', 'safety_identifier'];
const MAX_QUESTIONS = 400;
const MAX_CHOICES = 255;
const PROMPTS = {
  predicate: 'Decide whether this statement about the input is true.',
  choice: 'Choose the one option that fits the input best.',
  score: 'Rate the input: choose the one level that fits it best.',
};
const LISTS = { choice: ['choices', 'value'], score: ['levels', 'label'] } as const;

/** Null: only the gateway can read its input. Throws bad_body. */
export function readDecision(body: string): Decision | null {
  const { value } = readObject(body);
  for (const name of Object.keys(value)) {
    if (!KNOWN.includes(name) && !IGNORED.includes(name))
      throw wrong(`\`${name.slice(0, 100)}\` is not known`, name.slice(0, 100), 'remove it');
  }
  const { input, questions, model, sizewise } = value;
  if (model !== undefined && model !== null && typeof model !== 'string') throw mistyped('model', 'str | null', model);
  if (!Array.isArray(questions)) throw mistyped('questions', 'array', questions);
  between(questions, 'questions', 1, MAX_QUESTIONS);
  const read = objectsOf(questions, 'questions').map((each, at) => questionOf(each, `questions[${at}]`));
  const text = typeof input === 'string' ? input : conversation(input);
  if (text === null) return null;
  if (!text.trim()) throw wrong('`input` is empty', 'input', 'send what is to be decided on');
  if (sizewise !== undefined && sizewise !== null && kindOf(sizewise) !== 'object')
    throw mistyped('sizewise', 'object | null', sizewise);
  return { model: model ? model : 'auto', text, questions: read, options: (sizewise as Json | undefined) ?? null };
}

function questionOf(said: Json, where: string): Question {
  const kind = said['type'];
  if (kind !== 'predicate' && kind !== 'choice' && kind !== 'score')
    throw wrong(`\`${where}.type\`: invalid value '${String(kind).slice(0, 100)}'`, `${where}.type`);
  const name = said['name'] ?? null;
  if (name !== null && typeof name !== 'string') throw mistyped(`${where}.name`, 'str | null', name);
  const told = said['instructions'];
  const parts = Array.isArray(told) ? objectsOf(told, `${where}.instructions`).map((each) => each['text']) : [told];
  if (!parts.every((each) => typeof each === 'string')) throw mistyped(`${where}.instructions`, 'str | array', told);
  const text = parts.join('\n');
  let [values, about]: [Value[], string[]] = [[true, false], []];
  if (kind !== 'predicate') {
    const [list, field] = LISTS[kind];
    const found = said[list];
    if (!Array.isArray(found)) throw mistyped(`${where}.${list}`, 'array', found);
    between(found, `${where}.${list}`, 2, MAX_CHOICES);
    const options = objectsOf(found, `${where}.${list}`);
    for (const [at, each] of options.entries()) {
      const its = each[field];
      const fits = typeof its === 'string' || (kind === 'choice' && typeof its === 'boolean');
      if (!fits) throw mistyped(`${where}.${list}[${at}].${field}`, kind === 'choice' ? 'bool | str' : 'str', its);
      if (each['description'] !== undefined && typeof each['description'] !== 'string')
        throw mistyped(`${where}.${list}[${at}].description`, 'str', each['description']);
    }
    values = options.map((each) => each[field] as Value);
    about = options.map((each) => (each['description'] as string | undefined) ?? '');
  }
  if (!text.trim())
    throw wrong(`\`${where}.instructions\` is empty`, `${where}.instructions`, 'say what is to be decided');
  if (new Set(values).size < values.length)
    throw wrong(`\`${where}\` has the same option twice`, where, 'make each unique');
  return { kind, name, text, values, about };
}

/** Null for what is no text of a message. */
function conversation(input: unknown): string | null {
  if (!Array.isArray(input)) throw mistyped('input', 'str | array', input);
  const lines: [role: string, text: string][] = [];
  for (const { type, role, content } of objectsOf(input, 'input')) {
    const parts = Array.isArray(content) ? (content as unknown[]) : [{ text: content }];
    const texts = parts.map((each) => (each as { text?: unknown } | null)?.text);
    if ((type ?? 'message') !== 'message' || !texts.every((each) => typeof each === 'string')) return null;
    lines.push([typeof role === 'string' ? role : 'user', texts.join('\n')]);
  }
  const [only] = lines;
  if (only && lines.length === 1 && only[0] === 'user') return only[1];
  return lines.map(([role, text]) => `${role}: ${text}`).join('\n');
}

/** A chat's body, whose schema allows the answers of the question alone: to the letter that of the gateway. */
export async function chatBody(question: Question, model: string, text: string): Promise<string> {
  const { kind, values } = question;
  const strings = values.every((each) => typeof each === 'string');
  const answer = kind === 'predicate' ? { type: 'boolean' } : { enum: values, ...(strings ? { type: 'string' } : {}) };
  const schema = { type: 'object', properties: { answer }, required: ['answer'], additionalProperties: false };
  const name = `decision_${(await sha256(question.text)).slice(0, 16)}`;
  return JSON.stringify({
    model,
    messages: [
      { role: 'system', content: promptOf(question) },
      { role: 'user', content: text },
    ],
    response_format: { type: 'json_schema', json_schema: { name, strict: true, schema } },
  });
}

function promptOf({ kind, text, values, about }: Question): string {
  if (kind === 'predicate') return `${PROMPTS[kind]}\n\nStatement: ${text}`;
  const lines = values.map((value, at) => `- ${JSON.stringify(value)}${about[at] ? `: ${about[at]}` : ''}`);
  return [PROMPTS[kind], '', text, '', ...lines].join('\n');
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** How `said` breaks the schema of the question, in the words of the gateway; empty: it does not. */
export function violation({ kind, values }: Question, said: string): string {
  let value: unknown;
  try {
    value = JSON.parse(said);
  } catch {
    return 'it is not JSON';
  }
  if (kindOf(value) !== 'object') return 'at $: the value is not of type "object"';
  const { answer, ...others } = value as Json;
  const names = Object.keys(others).map((each) => `'${each}'`);
  if (names.length > 0) {
    const were = names.length > 1 ? 'were' : 'was';
    return `at $: Additional properties are not allowed (${names.join(', ')} ${were} unexpected)`;
  }
  if (answer === undefined) return 'at $: "answer" is a required property';
  const type = kind === 'predicate' ? 'boolean' : values.every((each) => typeof each === 'string') ? 'string' : '';
  if (type && typeof answer !== type) return `at $.answer: the value is not of type "${type}"`;
  return values.includes(answer as Value) ? '' : `at $.answer: the value is not one of ${listed(values)}`;
}

function listed(values: Value[]): string {
  const shown = values.map((each) => JSON.stringify(each));
  const first = values.length > 3 ? shown.slice(0, 2) : shown.slice(0, -1);
  const last = values.length > 3 ? `${values.length - 2} other candidates` : (shown[shown.length - 1] ?? '');
  return `${first.join(', ')} or ${last}`;
}

export const REPAIR_PROMPT =
  'Your answer is not the JSON that was asked for: {}. Answer again, with that JSON and nothing else.';

/** The chat that shows a model what was wrong with its answer. */
export function repairBody(body: string, said: string, wrong: string): string {
  const chat = JSON.parse(body) as { messages: Json[] };
  return JSON.stringify({ ...chat, messages: [...chat.messages, ...repairMessages(said, wrong)] });
}

/** A model's own answer, if it gave one, and how it breaks the schema. */
export function repairMessages(said: string, wrong: string): { role: string; content: string }[] {
  const words = REPAIR_PROMPT.replace('{}', () => wrong);
  return [...(said ? [{ role: 'assistant', content: said }] : []), { role: 'user', content: words }];
}

/** `said`: by a model. What is not allowed is a refusal. */
export function answerOf({ kind, name, values }: Question, said: string): Json {
  let chosen: number;
  try {
    chosen = values.indexOf((JSON.parse(said) as { answer: Value }).answer);
  } catch {
    chosen = -1;
  }
  if (chosen < 0) return { type: 'refusal', name };
  const shares = values.map((_, at) => (at === chosen ? 1 : 0));
  if (kind === 'predicate') return { name, type: kind, probability: shares[0] };
  if (kind === 'choice') {
    const probabilities = values.map((value, at) => ({ value, probability: shares[at] }));
    return { name, type: kind, choice: values[chosen], confidence: 1, probabilities };
  }
  const probabilities = values.map((label, at) => ({ value: at, label, probability: shares[at] }));
  return { name, type: kind, score: chosen, confidence: 1, probabilities };
}

function between(list: unknown[], path: string, least: number, most: number): void {
  if (list.length < least) throw wrong(`\`${path}\`: expected \`array\` of length >= ${least}`, path);
  if (list.length > most) throw wrong(`\`${path}\`: expected \`array\` of length <= ${most}`, path);
}

function mistyped(path: string, wanted: string, got: unknown): EdgeError {
  if (got === undefined) {
    const [parent, field] = [path.slice(0, Math.max(0, path.lastIndexOf('.'))), path.slice(path.lastIndexOf('.') + 1)];
    const where = parent ? `\`${parent}\`` : 'the body';
    return wrong(`${where}: object missing required field \`${field}\``, parent || null);
  }
  return wrong(`\`${path}\`: expected \`${wanted}\`, got \`${kindOf(got)}\``, path);
}

function wrong(words: string, param: string | null, hint = HINT_FIELD): EdgeError {
  return new EdgeError('bad_body', words, hint, { param });
}
