// Keys, tokens and passwords by issuer format, keyword and entropy, with the gateway's tables (guardrails/secrets.py).

import { matchesOf, mergeOverlaps, type Finding, type Pattern } from './finding.js';

export interface SecretPattern extends Pattern {
  markers: string[];
  longWord: boolean;
}

/** `keywords`: word, place in `behind`, kind. */
export interface SecretTables {
  patterns: SecretPattern[];
  pem: Pattern;
  example: Pattern;
  behind: Pattern[];
  keywords: [string, number, string][];
}

export interface Compiled {
  tables: SecretTables;
  regexes: RegExp[];
  pem: RegExp;
  example: RegExp;
  behind: RegExp[];
}

const MIN_CHARS = 10;
const MIN_SECRET = 14;
const MAX_USER = 306;
const TELLING = /[0-9A-Z]|:\/\//;
const ODD = '?!#$%&*+=@\\^|~';

export function compileSecrets(tables: SecretTables): Compiled {
  const make = (each: Pattern, flags: string): RegExp => new RegExp(each.source, each.flags + flags);
  return {
    tables,
    regexes: tables.patterns.map((each) => make(each, 'gd')),
    pem: make(tables.pem, 'gd'),
    example: make(tables.example, ''),
    behind: tables.behind.map((each) => make(each, 'yd')),
  };
}

export function findSecrets(by: Compiled, text: string): Finding[] {
  if (text.length < MIN_CHARS) return [];
  const found: Finding[] = [];
  const long = longWords(text);
  if (long && TELLING.test(long)) {
    by.tables.patterns.forEach((form, place) => {
      const regex = by.regexes[place] as RegExp;
      if (!form.markers.some((mark) => long.includes(mark))) return;
      regex.lastIndex = 0;
      if (form.longWord ? regex.test(long) : form.kind !== 'PASSWORD' || namesUser(text)) {
        found.push(...issued(by, form, regex, text));
      }
    });
  }
  if (text.includes('-----')) found.push(...privateKeys(by, text));
  // eslint-disable-next-line no-control-regex
  if (!/[0-9?!#$%&*+=@\\^|~]|[^\0-\x7f]/.test(text)) return mergeOverlaps(found);
  let low = text.toLowerCase();
  if (low.length !== text.length) low = text.replace(/[A-Z]/g, (c) => c.toLowerCase());
  for (const [word, behind, kind] of by.tables.keywords) {
    if (low.includes(word.slice(0, 5))) found.push(...said(by, text, low, word, by.behind[behind] as RegExp, kind));
  }
  return mergeOverlaps(found);
}

function longWords(text: string): string {
  return text
    .split(/[\t-\r\x1c-\x20]+/)
    .filter((each) => each.length >= MIN_SECRET || new TextEncoder().encode(each).length >= MIN_SECRET)
    .join(' ');
}

function* issued(by: Compiled, form: SecretPattern, regex: RegExp, text: string): Generator<Finding> {
  for (const match of matchesOf(regex, form.group, text, 0, text.length)) {
    if (!form.group && !TELLING.test(match.text)) continue;
    if (!isRandom(match.text) || (form.group && by.example.test(match.text))) continue;
    yield { guard: 'secrets', kind: form.kind, start: match.start, end: match.end, score: 1 };
  }
}

function namesUser(text: string): boolean {
  for (let place = text.indexOf('://'); place >= 0; place = text.indexOf('://', place + 3)) {
    const at = text.indexOf('@', place);
    if (at >= 0 && at < place + MAX_USER) return true;
  }
  return false;
}

function* privateKeys({ pem }: Compiled, text: string): Generator<Finding> {
  for (let place = 0; ;) {
    pem.lastIndex = place;
    const begin = pem.exec(text);
    if (!begin) return;
    const stop = text.indexOf('-----END ', begin.index + begin[0].length);
    const line = stop >= 0 ? text.indexOf('\n', stop) : -1;
    place = line >= 0 ? line : text.length;
    yield { guard: 'secrets', kind: 'PRIVATE_KEY', start: begin.index, end: place, score: 1 };
  }
}

function* said(
  by: Compiled,
  text: string,
  low: string,
  word: string,
  behind: RegExp,
  kind: string,
): Generator<Finding> {
  for (let place = low.indexOf(word); place >= 0; place = low.indexOf(word, place + word.length)) {
    for (const match of matchesOf(behind, 1, text, place + word.length, text.length)) {
      const value = match.text.replace(/\.+$/, '');
      if (!isSecretive(by, value)) continue;
      yield { guard: 'secrets', kind, start: match.start, end: match.start + value.length, score: 0.8 };
    }
  }
}

function isRandom(said: string): boolean {
  const least = Math.min(6, Math.max(3, Math.floor(said.length / 3)));
  return new Set(said).size >= least || said.includes('://');
}

function isSecretive(by: Compiled, said: string): boolean {
  if (by.example.test(said) || said.includes('://')) return false;
  const letters = /\p{L}/u.test(said);
  const digits = /\p{Nd}/u.test(said);
  // eslint-disable-next-line no-control-regex
  const odd = Array.from(said).some((c) => ODD.includes(c) || !/[\0-\x7f\p{L}\p{N}]/u.test(c));
  const size = Array.from(said).length;
  if (size < 8) return letters && digits && odd;
  const bits = entropy(said);
  if (bits < 2.8) return false;
  const mixed = /^.[^]*\p{Lu}/u.test(said) && /\p{Ll}/u.test(said);
  if ((letters && digits && (mixed || size >= 16 || odd)) || (odd && mixed)) return true;
  return size >= 20 && digits && bits >= 3;
}

/** Shannon entropy in bits per character. */
function entropy(text: string): number {
  const counts = new Map<string, number>();
  const all = Array.from(text);
  for (const c of all) counts.set(c, (counts.get(c) ?? 0) + 1);
  return -[...counts.values()].reduce((sum, count) => sum + (count / all.length) * Math.log2(count / all.length), 0);
}
