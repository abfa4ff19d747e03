// Routing options of a request: the `sizewise` object of a body and `x-sizewise-*` headers; chooses no model.

import { EdgeError } from './errors.js';
import type { DataClass } from './release.js';

export interface RequestOptions {
  policy: string | null;
  /** Pico-dollars. */
  maxCost: number | null;
  maxMs: number | null;
  minWindow: number | null;
  dataClass: DataClass | null;
  online: boolean;
  cache: boolean;
}

const CLASSES: DataClass[] = ['public', 'internal', 'confidential'];
/** What a Worker does: other options are the gateway's, and refused rather than ignored. */
const KNOWN = ['policy', 'max-cost-usd', 'max-ms', 'min-window', 'data-class', 'online', 'cache'];
const IGNORED = ['trace', 'tags', 'end-user', 'session'];
const PICO = 1e12;

/** Headers win, but can only tighten the data class and `online`. Throws bad_body. */
export function readOptions(headers: Headers, body: Record<string, unknown> | null): RequestOptions {
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(body ?? {})) if (value !== null) given[name.replaceAll('_', '-')] = value;
  const written = headerOptions(headers);
  const strict = stricter(written['data-class'], given['data-class']);
  const offline = written['online'] === 'deny' || given['online'] === 'deny';
  const said: Record<string, unknown> = { ...given, ...written };
  if (strict) said['data-class'] = strict;
  if (offline) said['online'] = 'deny';
  for (const name of Object.keys(said)) {
    if (!KNOWN.includes(name) && !IGNORED.includes(name)) {
      throw bad(`there is no option \`${name}\` at an edge`, `known here: ${KNOWN.join(', ')}`);
    }
  }
  return {
    policy: text(said, 'policy'),
    maxCost: cost(said['max-cost-usd']),
    maxMs: whole(said, 'max-ms'),
    minWindow: whole(said, 'min-window'),
    dataClass: choice(said, 'data-class', CLASSES),
    online: choice(said, 'online', ['allow', 'deny']) !== 'deny',
    cache: choice(said, 'cache', ['no-cache', 'no-store']) === null,
  };
}

function headerOptions(headers: Headers): Record<string, string> {
  const found: Record<string, string> = {};
  headers.forEach((value, name) => {
    if (name.startsWith('x-sizewise-')) found[name.slice(11)] = value;
  });
  const said = /no-store|no-cache(?!.*no-store)/.exec((headers.get('cache-control') ?? '').toLowerCase());
  if (said) found['cache'] = said[0];
  return found;
}

function stricter(one: unknown, other: unknown): unknown {
  const said = [one, other].filter((each) => each !== undefined);
  const strange = said.find((each) => !CLASSES.includes(each as DataClass));
  if (strange !== undefined) return strange;
  return CLASSES[Math.max(...said.map((each) => CLASSES.indexOf(each as DataClass)))];
}

function text(said: Record<string, unknown>, name: string): string | null {
  const value = said[name];
  if (value === undefined) return null;
  if (typeof value === 'string') return value;
  throw bad(`\`${name}\` is not a text`);
}

function choice<T extends string>(said: Record<string, unknown>, name: string, known: T[]): T | null {
  const value = said[name];
  if (value === undefined) return null;
  if (known.includes(value as T)) return value as T;
  throw bad(`\`${name}\` is not one of ${known.join(', ')}`);
}

function whole(said: Record<string, unknown>, name: string): number | null {
  const value = said[name];
  if (value === undefined) return null;
  const number = typeof value === 'string' && /^\d{1,10}$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number) && number >= 1 && number <= 1e9) return number;
  throw bad(`\`${name}\` is not a whole number from 1 on`);
}

function cost(value: unknown): number | null {
  if (value === undefined) return null;
  const fits = typeof value === 'number' ? value >= 0 && value <= 1e9 : /^\d{1,9}(\.\d{1,12})?$/.test(String(value));
  if (!fits) throw bad('`max-cost-usd` is not an amount of dollars');
  return Math.round(Number(value) * PICO);
}

function bad(why: string, hint = `known: ${KNOWN.join(', ')}`): EdgeError {
  return new EdgeError('bad_body', `\`sizewise\`: ${why}`, hint, { param: 'sizewise' });
}
