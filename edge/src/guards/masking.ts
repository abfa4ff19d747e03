// Placeholders such as <EMAIL_1> in place of findings, and the values back in replies; one numbering per request.

import type { Chat } from '../chat.js';
import { readJson, writeJson } from '../exact_json.js';
import { mergeOverlaps, type Finding } from './finding.js';
import { mapTexts } from './texts.js';

const NAME = /[A-Z][A-Z0-9_]{0,40}_[0-9]{1,7}/g;
const PLACEHOLDER = /(?:<|\\u003[cC])([A-Z][A-Z0-9_]{0,40}_[0-9]{1,7})(?:>|\\u003[eE])/g;
const PARTIAL = /(?:<|\\u003[cC])([A-Z][A-Z0-9_]{0,48})?(?:\\(?:u(?:0(?:0(?:3)?)?)?)?)?$|\\(?:u(?:0(?:0(?:3)?)?)?)?$/;
const NO_TEXT = new Set([
  'model',
  'stream',
  'n',
  'max_tokens',
  'max_completion_tokens',
  'seed',
  'temperature',
  'top_p',
]);
const MAX_REPEATED = 64;
const MIN_VALUE = 6;
const MAX_HELD = 64;

export type Find = (text: string) => Promise<Finding[]>;

/** Puts the values back. `counts`: findings by guard and kind. */
export class Unmasker {
  constructor(
    readonly values: Map<string, string>,
    readonly counts: Map<string, number>,
  ) {}

  text(text: string): string {
    return text.replace(PLACEHOLDER, (whole, name: string) => this.values.get(name) ?? whole);
  }

  /** Within the text of JSON: values are escaped. */
  json(text: string): string {
    return text.replace(PLACEHOLDER, (whole, name: string) => {
      const value = this.values.get(name);
      return value === undefined ? whole : JSON.stringify(value).slice(1, -1);
    });
  }

  value(value: unknown): unknown {
    return mapTexts(value, (text, field) => {
      if (field === 'name') return this.values.get(text) ?? text;
      return field === 'arguments' || field === 'partial_json' ? this.json(text) : this.text(text);
    });
  }
}

/** The findings by text: every text of the request is looked at once. */
export async function scanChat(chat: Chat, find: Find): Promise<Map<string, Finding[]>> {
  const texts = new Set<string>();
  for (const [field, value] of valuesOf(chat)) {
    mapTexts(
      value,
      (text) => {
        texts.add(text);
        return text;
      },
      field,
    );
  }
  const found = new Map<string, Finding[]>();
  for (const text of texts) {
    const here = await find(text);
    if (here.length) found.set(text, here);
  }
  return found;
}

/** The request with what was found masked; the same without findings. */
export function maskChat(chat: Chat, findings: Map<string, Finding[]>): { chat: Chat; unmasker: Unmasker | null } {
  if (!findings.size) return { chat, unmasker: null };
  const values = valuesOf(chat);
  const names = new Placeholders([...chat.raw.values()].join(' '));
  const merged = new Map([...findings].map(([text, found]) => [text, mergeOverlaps(found)]));
  for (const [field, value] of values) {
    mapTexts(value, (text) => (names.collect(text, merged.get(text) ?? []), text), field);
  }
  const raw = new Map(chat.raw);
  let messages = chat.messages;
  for (const [field, value] of values) {
    const after = mapTexts(value, (text, name) => names.mask(text, name, merged.get(text) ?? []), field);
    if (after === value) continue;
    raw.set(field, writeJson(after));
    if (field === 'messages') messages = after as Chat['messages'];
  }
  return { chat: { ...chat, raw, messages }, unmasker: names.unmasker() };
}

function valuesOf(chat: Chat): [string, unknown][] {
  return [...chat.raw].filter(([field]) => !NO_TEXT.has(field)).map(([field, raw]) => [field, readJson(raw)]);
}

class Placeholders {
  private readonly names = new Map<string, string>();
  private readonly numbers = new Map<string, number>();
  private readonly counts = new Map<string, number>();
  private readonly seen = new Set<string>();
  private readonly reserved: Set<string>;

  constructor(said: string) {
    this.reserved = new Set(said.match(NAME) ?? []);
  }

  collect(text: string, found: Finding[]): void {
    if (this.seen.has(text)) return;
    this.seen.add(text);
    for (const each of found) {
      const key = `${each.guard}:${each.kind}`;
      this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
      this.nameOf(each.kind, text.slice(each.start, each.end));
    }
  }

  mask(text: string, field: string, found: Finding[]): string {
    const all = [...found, ...this.repeated(text)];
    if (!all.length) return text;
    let masked = '';
    let place = 0;
    for (const each of mergeOverlaps(all)) {
      const name = this.nameOf(each.kind, text.slice(each.start, each.end));
      masked += text.slice(place, each.start) + (field === 'name' ? name : `<${name}>`);
      place = each.end;
    }
    return masked + text.slice(place);
  }

  unmasker(): Unmasker {
    return new Unmasker(new Map([...this.names].map(([value, name]) => [name, value])), this.counts);
  }

  private *repeated(text: string): Generator<Finding> {
    for (const [value, name] of [...this.names].slice(0, MAX_REPEATED)) {
      if (value.length < MIN_VALUE) continue;
      const kind = name.slice(0, name.lastIndexOf('_'));
      for (let start = text.indexOf(value); start >= 0; start = text.indexOf(value, start + value.length)) {
        yield { guard: '', kind, start, end: start + value.length, score: 1 };
      }
    }
  }

  private nameOf(kind: string, value: string): string {
    let known = this.names.get(value);
    while (known === undefined) {
      const number = (this.numbers.get(kind) ?? 0) + 1;
      this.numbers.set(kind, number);
      if (!this.reserved.has(`${kind}_${number}`)) known = `${kind}_${number}`;
    }
    this.names.set(value, known);
    return known;
  }
}

// ---- streams ---------------------------------------------------------------------------------------------------------

/** Holds back the end of a text while it may be the beginning of a placeholder. */
class HeldText {
  private held = '';

  constructor(
    private readonly unmasker: Unmasker,
    private readonly json: boolean,
  ) {}

  feed(more: string): string {
    if (!this.held && !more.includes('<') && !more.includes('\\')) return more;
    const text = this.held + more;
    let whole = 0;
    for (const match of text.matchAll(PLACEHOLDER)) whole = match.index + match[0].length;
    let kept = text.length;
    for (let from = Math.max(whole, text.length - MAX_HELD); from < text.length;) {
      const begun = PARTIAL.exec(text.slice(from));
      if (!begun) break;
      if (this.mayBe(begun[1] ?? '')) {
        kept = from + begun.index;
        break;
      }
      from += begun.index + 1;
    }
    this.held = text.slice(kept);
    const ready = text.slice(0, kept);
    return this.json ? this.unmasker.json(ready) : this.unmasker.text(ready);
  }

  flush(): string {
    const rest = this.held;
    this.held = '';
    return rest;
  }

  private mayBe(begun: string): boolean {
    return [...this.unmasker.values.keys()].some((each) => each.startsWith(begun));
  }
}

interface Call {
  index?: number;
  function?: { name?: string; arguments?: string };
}

interface Chunk {
  choices?: { index?: number; delta?: Record<string, unknown> | null; finish_reason?: unknown; logprobs?: unknown }[];
}

/** Rewrites the payloads of a stream, one after the other. */
export class StreamUnmasker {
  private readonly parts = new Map<string, HeldText>();

  constructor(private readonly unmasker: Unmasker) {}

  payload(payload: string): string {
    return payload
      .split('\n\ndata: ')
      .map((each) => this.one(each))
      .join('\n\ndata: ');
  }

  private one(payload: string): string {
    const chunk = readJson(payload) as Chunk;
    for (const choice of chunk.choices ?? []) {
      const index = choice.index ?? 0;
      const delta = choice.delta ?? {};
      for (const [field, value] of Object.entries(delta)) {
        if (field === 'tool_calls') for (const call of (value ?? []) as Call[]) this.call(index, call);
        else if (typeof value === 'string' && field !== 'role')
          delta[field] = this.part(`${index} ${field}`, false).feed(value);
      }
      if (choice.finish_reason) {
        for (const field of ['content', 'reasoning_content', 'reasoning', 'refusal']) {
          const rest = this.parts.get(`${index} ${field}`)?.flush();
          if (rest) delta[field] = `${typeof delta[field] === 'string' ? delta[field] : ''}${rest}`;
        }
        choice.delta = delta;
      }
      if (choice.logprobs) choice.logprobs = null;
    }
    return writeJson(chunk);
  }

  private call(choice: number, call: Call): void {
    if (!call.function) return;
    if (call.function.name) call.function.name = this.unmasker.values.get(call.function.name) ?? call.function.name;
    if (call.function.arguments) {
      call.function.arguments = this.part(`${choice} call ${call.index ?? 0}`, true).feed(call.function.arguments);
    }
  }

  private part(name: string, json: boolean): HeldText {
    const found = this.parts.get(name) ?? new HeldText(this.unmasker, json);
    this.parts.set(name, found);
    return found;
  }
}
