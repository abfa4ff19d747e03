// What a node of a flow is called and says, from the data of its file; knows no picture.
import { get } from './edits';
import type { Path } from './tree';

const TELLING = ['model', 'knowledge', 'tool', 'flow', 'agent', 'url', 'question', 'items', 'text', 'value', 'prompt'];
const LONGEST = 60;

/** The one value that tells most about the node. */
export function telling(data: unknown, path: Path): string {
  const node = get(data, path) as Record<string, unknown> | null | undefined;
  for (const key of TELLING) {
    const value = node?.[key];
    if (typeof value === 'string' && value.trim() !== '') return value.trim().replace(/\s+/g, ' ').slice(0, LONGEST);
  }
  return '';
}

/** A name that no node has: `stem`, `stem_2`, ... */
export function freshName(taken: ReadonlySet<string>, stem: string): string {
  const reserved = ['inputs', 'true', 'false', 'null', 'and', 'or', 'not', 'in'];
  if (!taken.has(stem) && !reserved.includes(stem)) return stem;
  const root = stem.replace(/_\d+$/, '').slice(0, 55);
  for (let number = 2; ; number += 1) if (!taken.has(`${root}_${number}`)) return `${root}_${number}`;
}

export const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,62}$/;

/** A type as it is read: `{"list": "text"}` is `list of text`. */
export function typeWords(type: unknown): string {
  if (typeof type === 'string') return type;
  if (type === null || typeof type !== 'object') return 'json';
  const [[name, of] = ['json', null]] = Object.entries(type);
  if (name === 'list') return `list of ${typeWords(of)}`;
  return name;
}

/** The fields of a type with theirs. */
export function fieldsOf(type: unknown): [string, unknown][] {
  const of = (type as { object?: Record<string, unknown> } | null)?.object;
  return of && typeof of === 'object' ? Object.entries(of) : [];
}
