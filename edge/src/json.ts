// Reads a client's JSON as every other reader would (I-JSON): each key once, no lone surrogate, no 65-bit integer.
// It keeps the bytes of each field, so that what nobody changed goes on as it came.

import { EdgeError } from './errors.js';
import { readJson, stringEnd } from './exact_json.js';

const HINT = 'write each key once: JSON readers disagree on which one counts';
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const MAX_DEPTH = 200;

/** `value`: with bigints beyond 2^53. `raw`: each field of the object as it was written, in its order. */
export interface JsonObject {
  value: Record<string, unknown>;
  raw: Map<string, string>;
}

export function decodeUtf8(bytes: ArrayBuffer | Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new EdgeError('bad_body', 'the body is not UTF-8', 'encode the JSON as UTF-8');
  }
}

export function readObject(text: string): JsonObject {
  let value: unknown;
  try {
    value = readJson(text);
  } catch {
    throw new EdgeError('bad_body', 'the body is not JSON', 'send a JSON object');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new EdgeError('bad_body', `the body: expected \`object\`, got \`${kindOf(value)}\``, HINT_FIELD);
  }
  return { value: value as Record<string, unknown>, raw: scan(text) };
}

export const HINT_FIELD = 'see the API reference for this field';

/** The type of a value in the words of the gateway's own errors. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float';
  return { string: 'str', boolean: 'bool', object: 'object', bigint: 'int' }[typeof value as 'string'] ?? typeof value;
}

export function utf8Length(text: string): number {
  let length = text.length;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0x7f) length += code > 0x7ff ? (code >= 0xd800 && code <= 0xdfff ? 1 : 2) : 1;
  }
  return length;
}

/** `place`: of the value in a list. */
interface Open {
  keys: Set<string> | null;
  key: string;
  place: number;
}

/** The fields of the outermost object of valid JSON. Throws what readers disagree on. */
function scan(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  const open: Open[] = [];
  let fieldStart = -1;
  let end = 0; // of the last value
  for (let at = 0; at < text.length;) {
    const c = text.charCodeAt(at);
    const inner = open[open.length - 1];
    if (c === 0x22) {
      const start = at;
      at = stringEnd(text, at);
      const after = skipSpace(text, at);
      if (inner?.keys && text.charCodeAt(after) === 0x3a && inner.key === '') {
        const key = wellFormed(text.slice(start, at));
        if (inner.keys.has(key)) throw twice(open, key);
        if (key === '__proto__') {
          throw new EdgeError(
            'bad_body',
            'the key `__proto__` is not allowed',
            'rename it: some readers treat it as the prototype',
          );
        }
        inner.keys.add(key);
        inner.key = ` ${key}`;
        at = skipSpace(text, after + 1);
        if (open.length === 1) fieldStart = at;
        continue;
      }
      wellFormed(text.slice(start, at));
      end = at;
    } else if (c === 0x7b || c === 0x5b) {
      open.push({ keys: c === 0x7b ? new Set() : null, key: '', place: 0 });
      if (open.length > MAX_DEPTH) throw new EdgeError('bad_body', 'the body is nested too deeply', 'flatten it');
      at++;
    } else if (c === 0x7d || c === 0x5d || c === 0x2c) {
      if (open.length === 1 && inner && inner.key !== '') fields.set(inner.key.slice(1), text.slice(fieldStart, end));
      if (inner) [inner.key, inner.place] = ['', inner.place + 1];
      if (c !== 0x2c) {
        open.pop();
        end = at + 1;
      }
      at++;
    } else if (c === 0x2d || (c >= 0x30 && c <= 0x39)) {
      NUMBER.lastIndex = at;
      const number = NUMBER.exec(text)?.[0] ?? '0';
      checkNumber(number);
      at += number.length;
      end = at;
    } else {
      at++;
      if (c > 0x60) end = at; // true, false, null
    }
  }
  return fields;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (text.charCodeAt(at) <= 0x20) at++;
  return at;
}

function wellFormed(literal: string): string {
  if (!literal.includes('\\')) return literal.slice(1, -1);
  const text = JSON.parse(literal) as string;
  if (!text.isWellFormed()) {
    throw new EdgeError('bad_body', 'the body is not JSON: a lone surrogate', 'send a JSON object');
  }
  return text;
}

function checkNumber(number: string): void {
  if (/[.eE]/.test(number)) {
    if (Number.isFinite(Number(number))) return;
    throw new EdgeError('bad_body', 'the body is not JSON: a number is out of range', 'send a JSON object');
  }
  if (number.length < 19) return;
  const whole = BigInt(number);
  if (whole < -(2n ** 63n) || whole > 2n ** 64n - 1n) {
    throw new EdgeError('bad_body', 'an integer does not fit in 64 bits', 'send it as a string, or as a float');
  }
}

function twice(open: Open[], key: string): EdgeError {
  const path = open.slice(0, -1).map((each) => (each.keys ? `.${each.key.slice(1)}` : `[${each.place}]`));
  const named = `${path.join('')}.${key}`.slice(1);
  const plain = [...open.slice(0, -1).map((each) => each.key.slice(1) || 'x'), key].every((each) =>
    /^\w{1,64}$/.test(each),
  );
  const where = plain ? `the key \`${named}\`` : 'a key';
  return new EdgeError('bad_body', `${where} is written twice`, HINT, { param: plain ? named : null });
}
