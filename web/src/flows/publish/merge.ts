// Mine and theirs, from one text: what does not touch is taken over, the rest is for a person to choose.
import { diff3Merge } from 'node-diff3';

export type Part = { both: string[] } | { mine: string[]; theirs: string[] };

export function mergeTexts(mine: string, base: string, theirs: string): Part[] {
  const lines = (text: string): string[] => text.split('\n');
  return diff3Merge(lines(mine), lines(base), lines(theirs), { excludeFalseConflicts: true }).map((each) =>
    each.ok ? { both: each.ok } : { mine: each.conflict?.a ?? [], theirs: each.conflict?.b ?? [] },
  );
}

/** `chosen`: of each part that is not the same in both, in order. */
export function joined(parts: readonly Part[], chosen: readonly ('mine' | 'theirs')[]): string {
  let number = 0;
  return parts.flatMap((each) => ('both' in each ? each.both : each[chosen[number++] ?? 'mine'])).join('\n');
}

export const openParts = (parts: readonly Part[]): Exclude<Part, { both: string[] }>[] =>
  parts.filter((each): each is Exclude<Part, { both: string[] }> => !('both' in each));
