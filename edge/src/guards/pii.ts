// Personal data by format and checksum, with the gateway's own tables (sizewise/guardrails/pii.py). Finds no names.

import { base58, bech32, CHECKS, fiHetu, ibanHolds } from './checksums.js';
import { matchesOf, mergeOverlaps, type Finding, type Pattern } from './finding.js';

/** `check`: a function of checksums.ts, a range of digits as `digits:5-14`, `phone`, `ip4`, `ip6`; empty: none. */
export interface PiiPattern extends Pattern {
  check: string;
  shapes: string[];
  keywords: string[];
  marker: string;
  markerCount: number;
}

export interface PiiTables {
  candidate: Pattern;
  iban: Pattern;
  domain: Pattern;
  patterns: PiiPattern[];
  ibanLengths: Record<string, number>;
}

interface Compiled {
  tables: PiiTables;
  candidate: RegExp;
  iban: RegExp;
  domain: RegExp;
  regexes: RegExp[];
  shapes: string[];
}

const MIN_CHARS = 6;
const CONTEXT = 120;
const LOCAL = "!#$%&'*+/=?^_`{|}~-.";
const FILES = ['png', 'jpg', 'jpeg', 'gif', 'svg', 'webp', 'py', 'js', 'ts', 'css', 'html', 'json', 'md'];
const UNTOUCHED = ['IP', 'MAC', 'CRYPTO', 'PASSPORT', 'LICENSE', 'BIRTH', 'ACCOUNT'];
const HETU = /^[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Z]$/;
const ALNUM = /[\p{L}\p{N}]/u;

export function compilePii(tables: PiiTables): Compiled {
  const global = (each: Pattern): RegExp => new RegExp(each.source, `${each.flags}gd`);
  const sticky = (each: Pattern): RegExp => new RegExp(each.source, `${each.flags}yd`);
  return {
    tables,
    candidate: global(tables.candidate),
    iban: global(tables.iban),
    domain: sticky(tables.domain),
    regexes: tables.patterns.map((each) => (each.keywords.length ? sticky(each) : global(each))),
    shapes: [...new Set(tables.patterns.flatMap((each) => each.shapes))],
  };
}

export async function findPii(by: Compiled, text: string): Promise<Finding[]> {
  if (text.length < MIN_CHARS) return [];
  const found = text.includes('@') ? [...emails(by, text)] : [];
  if (/[0-9]/.test(text))
    for (const [start, end] of places(by, text)) found.push(...(await within(by, text, start, end)));
  return mergeOverlaps(found);
}

function* emails({ domain }: Compiled, text: string): Generator<Finding> {
  let free = 0;
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    let start = at;
    while (start > free && at - start < 64 && (isAlnum(text, start - 1) || LOCAL.includes(text[start - 1] as string)))
      start--;
    while (start < at && ".'`/=&?|{}*#$!^~".includes(text[start] as string)) start++;
    if (start >= at || text.slice(start, at) === 'git') continue;
    domain.lastIndex = at + 1;
    const found = domain.exec(text)?.[0];
    if (!found) continue;
    const last = found.slice(found.lastIndexOf('.') + 1).toLowerCase();
    if (FILES.includes(last) || /^\p{Nd}/u.test(found) || text[at - 1] === '.') continue;
    const end = at + 1 + found.length;
    yield { guard: 'pii', kind: 'EMAIL', start, end, score: 1 };
    free = end;
  }
}

function isAlnum(text: string, place: number): boolean {
  const c = text[place];
  return c !== undefined && ALNUM.test(c);
}

function* places({ candidate }: Compiled, text: string): Generator<[number, number]> {
  let [start, end] = [-1, -1];
  for (const match of matchesOf(candidate, 0, text, 0, text.length)) {
    if (start < 0 || match.start - CONTEXT > end) {
      if (start >= 0) yield [start, end];
      start = Math.max(0, match.start - CONTEXT);
    }
    end = Math.min(text.length, match.end + CONTEXT);
  }
  if (start >= 0) yield [start, end];
}

async function within(by: Compiled, text: string, start: number, end: number): Promise<Finding[]> {
  const near = text.slice(start, end);
  const low = near.toLowerCase();
  const drawn = shapeOf(near);
  const there = new Set(by.shapes.filter((each) => drawn.includes(each)));
  const found: Finding[] = [];
  for (const [place, form] of by.tables.patterns.entries()) {
    if (!form.shapes.some((each) => there.has(each))) continue;
    if (form.marker && low.split(form.marker).length - 1 < form.markerCount) continue;
    const regex = by.regexes[place] as RegExp;
    const matches = form.keywords.length
      ? keywordMatches(regex, form, low, text, start, end)
      : matchesOf(regex, form.group, text, start, end);
    for (const match of matches) {
      if (await holds(form, match.text)) {
        found.push({ guard: 'pii', kind: form.kind, start: match.start, end: match.end, score: 1 });
      }
    }
  }
  if (drawn.includes('aa00')) {
    for (const begin of matchesOf(by.iban, 0, text, start, end)) {
      const stop = ibanEnd(text, begin.start, by.tables.ibanLengths);
      if (stop) found.push({ guard: 'pii', kind: 'IBAN', start: begin.start, end: stop, score: 1 });
    }
  }
  return found;
}

/** Digits as 0, letters as a; without separators as 9 and b; both as w. As `text_shape` in Python. */
function shapeOf(text: string): string {
  const drawn = text
    .replace(/[0-9]/g, '0')
    .replace(/[A-Za-z]/g, 'a')
    .replace(/[-/\u00a0]/g, ' ')
    .replace(/[^\0-\xff]/g, '?');
  const loose = drawn
    .replace(/[ .()+]/g, '')
    .replaceAll('0', '9')
    .replaceAll('a', 'b');
  return `${drawn}\n${loose}\n${drawn.replace(/[0a]/g, 'w')}`;
}

function* keywordMatches(
  regex: RegExp,
  form: PiiPattern,
  low: string,
  text: string,
  start: number,
  end: number,
): Generator<{ start: number; end: number; text: string }> {
  const starts = new Set<number>();
  for (const word of form.keywords) {
    for (let at = low.indexOf(word); at >= 0; at = low.indexOf(word, at + 1)) starts.add(at);
  }
  let free = 0;
  for (const at of [...starts].sort((a, b) => a - b)) {
    if (at < free) continue;
    for (const match of matchesOf(regex, form.group, text, start + at, end)) {
      free = regex.lastIndex - start;
      yield match;
    }
  }
}

async function holds(form: PiiPattern, said: string): Promise<boolean> {
  if (form.kind === 'CRYPTO') {
    if (said.slice(0, 2).toLowerCase() === '0x') return true;
    return said.slice(0, 3).toLowerCase() === 'bc1' ? bech32(said.toLowerCase()) : base58(said);
  }
  if (UNTOUCHED.includes(form.kind)) return check(form.check, said);
  if (!form.check && form.kind === 'NATIONAL_ID' && HETU.test(said.toUpperCase())) return fiHetu(said.toUpperCase());
  const bare = said.replace(/[ .\-/()\u00a0+]/g, '');
  // eslint-disable-next-line no-control-regex
  return /^[\0-\x7f]*$/.test(bare) && check(form.check, bare.toUpperCase());
}

function check(name: string, said: string): boolean {
  if (!name) return true;
  const digits = (said.match(/\p{Nd}/gu) ?? []) as string[];
  if (name === 'phone') return digits.length >= 8 && digits.length <= 15 && new Set(digits).size > 2;
  if (name === 'ip4') return ip4(said);
  if (name === 'ip6') return ip6(said);
  const range = /^digits:(\d+)-(\d+)$/.exec(name);
  if (range) return digits.length >= Number(range[1]) && digits.length <= Number(range[2]);
  return CHECKS[name]?.(said) ?? false;
}

function ip4(said: string): boolean {
  const parts = said.split('.');
  if (parts.length !== 4 || parts.some((each) => !/^(0|[1-9]\d{0,2})$/.test(each) || Number(each) > 255)) return false;
  return parts[0] !== '127' && said !== '0.0.0.0' && parts[3] !== '0';
}

function ip6(said: string): boolean {
  if (said.split(':').length - 1 <= 2 || said === '::1') return false;
  const [head = '', tail, more] = said.split('::');
  const groups = (part: string): string[] => (part ? part.split(':') : []);
  const all = [...groups(head), ...groups(tail ?? '')];
  if (more !== undefined || all.some((each) => !/^[0-9a-f]{1,4}$/i.test(each))) return false;
  if (tail === undefined) return all.length === 8 && !isLoopback(all);
  return all.length <= 7;
}

function isLoopback(groups: string[]): boolean {
  return groups.every((each, place) => parseInt(each, 16) === (place === 7 ? 1 : 0));
}

function ibanEnd(text: string, start: number, lengths: Record<string, number>): number {
  const wanted = lengths[text.slice(start, start + 2).toUpperCase()] ?? 0;
  let said = '';
  let place = start;
  for (; place < text.length && said.length < wanted; place++) {
    const c = text[place] as string;
    if (/[A-Za-z0-9]/.test(c)) said += c.toUpperCase();
    else if (!' -\u00a0'.includes(c) || !isAlnum(text, place - 1)) return 0;
  }
  const ends = place >= text.length || !isAlnum(text, place);
  return wanted && ends && said.length === wanted && ibanHolds(said, lengths) ? place : 0;
}
