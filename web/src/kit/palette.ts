// What a few letters may mean: names that hold them, those that begin with them first; pure.

export interface Target {
  /** What it is: a page, a flow, a node, an action … */
  kind: string;
  name: string;
  /** Where it leads, or what it does. */
  to: string | (() => void);
}

const MOST = 12;
const TRACE = /^[0-9a-f]{32}$/;

/** 0: not at all. The whole name, its beginning, the beginning of a word, somewhere, its letters in order. */
function rank(name: string, words: string): number {
  const at = name.indexOf(words);
  if (name === words) return 5;
  if (at === 0) return 4;
  if (at > 0) return /[\s/:._-]/.test(name[at - 1] ?? '') ? 3 : 2;
  let from = 0;
  for (const letter of words) {
    const next = name.indexOf(letter, from);
    if (next < 0) return 0;
    from = next + 1;
  }
  return 1;
}

/** The best first; those of one rank in the order given. */
export function matching(targets: readonly Target[], said: string): Target[] {
  const words = said.trim().toLowerCase();
  if (words === '') return targets.slice(0, MOST);
  const found = targets
    .map((target, order) => ({ target, order, rank: rank(`${target.name}`.toLowerCase(), words) }))
    .filter((each) => each.rank > 0)
    .sort((a, b) => b.rank - a.rank || a.order - b.order)
    .map((each) => each.target);
  const trace: Target[] = TRACE.test(words) ? [{ kind: 'trace', name: words, to: `/records/${words}` }] : [];
  return [...trace, ...found].slice(0, MOST);
}
