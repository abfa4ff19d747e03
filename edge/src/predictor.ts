// The learned predictor in JavaScript: the chance of a good answer per model, from the prompt's own words.
// Equal to sizewise/routing/quality/predictor.py within 1e-6; a test compares the two.

import { messageText, type Chat } from './chat.js';

export interface Predictor {
  vocabulary: Record<string, number>;
  idf: number[];
  scale: { mean: number[]; scale: number[] };
  heads: Record<string, { bias: number; surface_weights: number[]; word_weights: number[] }>;
  languages: string[];
  min_known_share: number;
  abstention: string;
  stopWords: Record<string, string[]>;
}

const MAX_CHARS = 20_000;
const TAG = String.raw`([a-z]+[-_][\w-]*|context|attachment|attachments|document|documents|memory|env|environment)`;
const OPENING = new RegExp(String.raw`<${TAG}\b[^<>]*>`, 'gi');
const CLOSING = new RegExp(String.raw`</${TAG}\s*>`, 'gi');
const PASTED_BEGIN = /^[ \t]*-{3,} *(?:begin|start)\b/gim;
const PASTED_END = /^[ \t]*-{3,} *end\b.*$/gim;
const WORDS = /[\u3040-\u30ff\u3400-\u9fff]|(?:(?![\u3040-\u30ff\u3400-\u9fff])[\p{L}\p{Nl}\p{No}])+|\p{Nd}+/gu;
const POLITE =
  /^(?:hi|hello|hey)\b[!,.]*|\b(?:please|kindly|thanks|thank you|(?:can|could|would|will) you)\b(?: tell me| help me)?[!,.:]*/g;
const IS = /\b(what|who|where|when|how|it|that|there|here|he|she)'s\b/g;
const CONTRACTED = [
  ["can't", 'cannot'],
  ["won't", 'will not'],
  ["n't", ' not'],
  ["'re", ' are'],
  ["'m", ' am'],
  ["'ve", ' have'],
  ["'ll", ' will'],
  ["let's", 'let us'],
] as const;
const SCRIPTS: [string, RegExp][] = [
  ['ja', /[\u3040-\u30ff]/g],
  ['ko', /[\uac00-\ud7af\u1100-\u11ff]/g],
  ['zh', /[\u3400-\u9fff]/g],
  ['cyrillic', /[\u0400-\u052f]/g],
  ['greek', /[\u0370-\u03ff]/g],
  ['arabic', /[\u0600-\u06ff]/g],
  ['hebrew', /[\u0590-\u05ff]/g],
  ['indic', /[\u0900-\u0dff]/g],
  ['thai', /[\u0e00-\u0e7f]/g],
];

/** The user's own words, from the last user message with any. */
export function userText(chat: Chat): string {
  for (const message of [...chat.messages].reverse()) {
    const words = message.role === 'user' ? stripHarness(messageText(message)) : '';
    if (words) return words;
  }
  return '';
}

/** The chances by model; or why there are none. */
export function predict(predictor: Predictor, prompt: string): { chances: Record<string, number>; abstention: string } {
  const folded = foldText(prompt);
  const seen = tokenize(folded);
  const single = collapseDoubled(seen);
  const abstention = predictor.abstention || unfamiliar(predictor, folded, seen, single);
  if (abstention) return { chances: {}, abstention };
  const found = tfidf(predictor, single);
  const { mean, scale } = predictor.scale;
  const shape = surface(folded, seen).map((value, place) => (value - (mean[place] ?? 0)) / (scale[place] ?? 1));
  const chances: Record<string, number> = {};
  for (const [name, head] of Object.entries(predictor.heads)) {
    let odds = head.bias;
    shape.forEach((value, place) => (odds += value * (head.surface_weights[place] ?? 0)));
    for (const [at, value] of found) odds += (head.word_weights[at] ?? 0) * value;
    chances[name] = 1 / (1 + Math.exp(-Math.max(-30, Math.min(30, odds))));
  }
  return { chances, abstention: '' };
}

function stripHarness(text: string): string {
  let kept = text;
  if (kept.includes('</')) kept = withoutBlocks(kept, OPENING, CLOSING, true);
  if (kept.includes('---')) kept = withoutBlocks(kept, PASTED_BEGIN, PASTED_END, false);
  return kept.trim();
}

function withoutBlocks(text: string, opening: RegExp, closing: RegExp, named: boolean): string {
  const ends = new Map<string, [number, number][]>();
  for (const each of text.matchAll(closing)) {
    const name = named ? (each[1] ?? '').toLowerCase() : '';
    ends.set(name, [...(ends.get(name) ?? []), [each.index, each.index + each[0].length]]);
  }
  if (!ends.size) return text;
  const pieces: string[] = [];
  let place = 0;
  opening.lastIndex = 0;
  for (let match = opening.exec(text); match; match = opening.exec(text)) {
    const begun = match.index + match[0].length;
    const close = (ends.get(named ? (match[1] ?? '').toLowerCase() : '') ?? []).find(([start]) => start >= begun);
    if (!close) continue;
    pieces.push(text.slice(place, match.index));
    place = opening.lastIndex = close[1];
  }
  return [...pieces, text.slice(place)].join(' ');
}

export function foldText(text: string): string {
  let kept = text;
  const all = Array.from(text);
  if (all.length > MAX_CHARS) {
    kept = `${all.slice(0, MAX_CHARS / 2).join('')}\n${all.slice(-MAX_CHARS / 2).join('')}`;
  }
  // eslint-disable-next-line no-control-regex
  if (/^[\0-\x7f]*$/.test(kept)) return stripCourtesy(kept.toLowerCase());
  const folded = casefold(kept.replaceAll('\u2019', "'").normalize('NFKD'));
  const bare = Array.from(folded).filter((c) => !/\p{M}/u.test(c) || c > '\u036f');
  return stripCourtesy(bare.join('').normalize('NFC'));
}

/** Python's casefold, as far as it differs from lower case after NFKD. */
function casefold(text: string): string {
  return text.toLowerCase().replaceAll('ß', 'ss').replaceAll('ς', 'σ');
}

function stripCourtesy(text: string): string {
  let folded = text;
  if (folded.includes("'")) {
    folded = folded.replace(IS, '$1 is');
    for (const [short, long] of CONTRACTED) folded = folded.replaceAll(short, long);
  }
  folded = folded.trim();
  if (/^(hi|hello|hey)|please|kindly|thank|can you|ould you|will you/.test(folded))
    folded = folded.replace(POLITE, '').trim();
  return folded;
}

export function tokenize(folded: string): string[] {
  // eslint-disable-next-line no-control-regex
  if (/^[\0-\x7f]*$/.test(folded)) {
    return folded
      .replace(/[0-9]+/g, ' 0 ')
      .split(/[^a-z0]+/)
      .filter(Boolean);
  }
  return folded.replace(/\p{Nd}+/gu, '0').match(WORDS) ?? [];
}

function collapseDoubled(tokens: string[]): string[] {
  return tokens.map((each) => each.replace(/([a-z])\1+/g, '$1'));
}

function surface(folded: string, tokens: string[]): number[] {
  const length = Array.from(folded).length;
  const size = length - (folded.split('  ').length - 1) || 1;
  const number = tokens.length || 1;
  const different = new Set(tokens);
  const count = (pattern: RegExp, text: string): number => (text.match(pattern) ?? []).length;
  return [
    Math.log1p(size),
    Math.log1p(tokens.length),
    tokens.filter((each) => each === '0').length / number,
    count(/[+=*/^()[\]{}<>\\|&%$#@~]/g, folded) / size,
    different.size / number,
    Math.min(size / number, 20),
    Math.log1p(count(/\n\s*/g, folded.trim())),
    Number(different.has('not') || different.has('except')),
    Number(folded.includes('?')),
    Number(folded.includes('\\') || folded.includes('$')),
  ];
}

function unfamiliar(predictor: Predictor, folded: string, seen: string[], single: string[]): string {
  const tongue = guessLanguage(predictor, folded, seen);
  if (!predictor.languages.includes(tongue)) {
    return `too few training prompts are in the language of this prompt (${tongue})`;
  }
  const share = predictor.min_known_share;
  const known = single.filter((word) => Object.hasOwn(predictor.vocabulary, word)).length;
  const usual = share * seen.length;
  if (known < usual - Math.sqrt(usual * (1 - share)) || !known) {
    return `the predictor knows ${known} of this prompt's ${seen.length} words: another domain`;
  }
  return '';
}

function guessLanguage({ stopWords }: Predictor, folded: string, tokens: string[]): string {
  // eslint-disable-next-line no-control-regex
  if (!/^[\0-\x7f]*$/.test(folded)) {
    const letters = tokens.reduce((sum, each) => sum + Array.from(each).length, 0) || 1;
    for (const [name, script] of SCRIPTS) if ((folded.match(script) ?? []).length >= 0.2 * letters) return name;
  }
  const seen = new Map<string, number>();
  for (const word of new Set(tokens)) {
    for (const name of Object.hasOwn(stopWords, word) ? (stopWords[word] ?? []) : [])
      seen.set(name, (seen.get(name) ?? 0) + 1);
  }
  const english = seen.get('en') ?? 0;
  seen.delete('en');
  let [best, most] = ['none', 0];
  for (const [name, count] of seen) if (count > most) [best, most] = [name, count];
  if (best !== 'none' && most >= english + 2) return best;
  return english ? 'en' : 'none';
}

function tfidf({ vocabulary, idf }: Predictor, seen: string[]): [number, number][] {
  const times = new Map<number, number>();
  const grams = [...seen, ...seen.slice(1).map((each, place) => `${seen[place]} ${each}`)];
  for (const gram of grams) {
    const at = Object.hasOwn(vocabulary, gram) ? vocabulary[gram] : undefined;
    if (at !== undefined) times.set(at, (times.get(at) ?? 0) + 1);
  }
  const found = [...times].map(([at, number]): [number, number] => [at, (1 + Math.log(number)) * (idf[at] ?? 0)]);
  const length = Math.sqrt(found.reduce((sum, [, value]) => sum + value * value, 0)) || 1;
  return found.map(([at, value]) => [at, value / length]);
}
