// Every text inside a JSON value, also of JSON within a text; knows which fields hold no text, and no API.

import { Members, readMembers, writeJson } from '../exact_json.js';

const NON_TEXT = new Set(
  (
    'type role model object status detail media_type index finish_reason format id tool_call_id call_id tool_use_id ' +
    'item_id response_id previous_response_id signature encrypted_content wire untranslated headers service_tier ' +
    'reasoning_effort'
  ).split(' '),
);
const BASE64 = new Set(['data', 'file_data', 'url', 'image_url', 'b64_json']);
const MIN_CHARS = 4;
const MIN_BASE64 = 256;
const MAX_NESTED = 4;
const IDENTIFIER = /^[\p{L}_][\p{L}\p{N}_]*$/u;

export type Change = (text: string, field: string) => string;

/** `value` with `change` applied to each text, in document order. A value that nothing changed is the same object. */
export function mapTexts(value: unknown, change: Change, field = '', depth = 0): unknown {
  if (typeof value === 'string') return mapText(value, change, field, depth);
  if (Array.isArray(value)) {
    const after = value.map((each) => mapTexts(each, change, field, depth));
    return after.some((each, place) => each !== value[place]) ? after : value;
  }
  if ((typeof value === 'bigint' || isInteger(value)) && value > 999_999_999_999) {
    const said = String(value);
    const after = change(said, field);
    return after === said ? value : after;
  }
  if (typeof value !== 'object' || value === null) return value;
  const before = value instanceof Members ? value.items : Object.entries(value);
  let same = true;
  const items = before.map(([key, each]): [string, unknown] => {
    const name = key.length > MIN_CHARS && !IDENTIFIER.test(key) ? change(key, '') : key;
    const after = mapTexts(each, change, key, depth);
    same &&= name === key && after === each;
    return [name, after];
  });
  if (same) return value;
  return value instanceof Members ? new Members(items) : Object.fromEntries(items);
}

function mapText(text: string, change: Change, field: string, depth: number): string {
  if (text.length < MIN_CHARS || NON_TEXT.has(field) || (BASE64.has(field) && isFile(text))) return text;
  const inner = depth < MAX_NESTED && '{[ \n\r\t'.includes(text[0] as string) ? embedded(text) : undefined;
  if (inner === undefined) return change(text, field);
  const after = mapTexts(inner, change, field, depth + 1);
  return after === inner ? text : writeJson(after);
}

/** The object or list that the text encodes, with all values of a repeated key. */
function embedded(text: string): unknown {
  const bare = text.trim();
  if (!/^(\{[^]*\}|\[[^]*\])$/.test(bare)) return undefined;
  try {
    return readMembers(bare);
  } catch {
    return undefined;
  }
}

function isInteger(value: unknown): value is number {
  return Number.isInteger(value);
}

function isFile(text: string): boolean {
  if (text.startsWith('data:')) return text.slice(0, 200).includes(';base64,');
  return text.length >= MIN_BASE64 && !text.includes(' ') && !text.slice(0, MIN_BASE64).includes('\n');
}
