// How a passage moves between the ways of searching; pure.

/** Its place among `results` from 1, or 0 where it was not found. */
export function rank(id: string, results: readonly { id: string }[]): number {
  return results.findIndex((each) => each.id === id) + 1;
}

const WAYS: Record<string, string> = { hybrid: 'by both', words: 'by words', vector: 'by meaning' };

/** "by words 1, by meaning 4": where else it was found; "only here" where it was not. */
export function elsewhere(
  id: string,
  mode: string,
  found: Readonly<Record<string, readonly { id: string }[]>>,
): string {
  const others = Object.entries(found)
    .filter(([name]) => name !== mode)
    .map(([name, results]) => [name, rank(id, results)] as const)
    .filter(([, place]) => place > 0);
  return others.length > 0 ? others.map(([name, place]) => `${WAYS[name] ?? name} ${place}`).join(', ') : 'only here';
}
