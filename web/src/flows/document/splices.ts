// Splices of a text: applied, undone, and refused where they would say more than was asked for.
import { readTree, type Tree } from './tree';

/** Replaces the characters from `from` to `to` of the text by `insert`. */
export interface Splice {
  from: number;
  to: number;
  insert: string;
}

/** What a gesture does to the text, and to what the text says. */
export interface Gesture {
  splices: readonly Splice[];
  /** What the file must say afterwards, from what it said before. */
  expected: (data: unknown) => unknown;
}

/** The file cannot be changed so without rewriting what stands around it. */
export class Refused extends Error {}

export function apply(text: string, splices: readonly Splice[]): string {
  let at = text.length;
  let done = '';
  for (const each of ordered(splices).reverse()) {
    if (each.to > at) throw new Refused('Two changes touch the same place. Make them one by one.');
    done = each.insert + text.slice(each.to, at) + done;
    at = each.from;
  }
  return text.slice(0, at) + done;
}

/** The splices that lead back. */
export function inverse(text: string, splices: readonly Splice[]): Splice[] {
  let moved = 0;
  return ordered(splices).map(({ from, to, insert }) => {
    const back = { from: from + moved, to: from + moved + insert.length, insert: text.slice(from, to) };
    moved += insert.length - (to - from);
    return back;
  });
}

/** The tree after the gesture. Throws Refused, if the text would then say something else than meant. */
export function perform(tree: Tree, gesture: Gesture): Tree {
  if (tree.wrong) throw new Refused(`The text is not YAML (line ${tree.wrong.line}). Correct it there first.`);
  const after = readTree(apply(tree.text, gesture.splices));
  if (after.wrong || !same(after.data, gesture.expected(structuredClone(tree.data))))
    throw new Refused(
      'This part of the file is written in a way that this gesture cannot keep. Change it in the text.',
    );
  return after;
}

export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b);
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(left);
  return keys.length === Object.keys(right).length && keys.every((key) => key in right && same(left[key], right[key]));
}

function ordered(splices: readonly Splice[]): Splice[] {
  return [...splices].sort((a, b) => a.from - b.from || a.to - b.to);
}
