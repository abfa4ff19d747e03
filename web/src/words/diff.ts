// What two texts differ in, word by word; long ones line by line; pure.

export interface Piece {
  kind: 'same' | 'gone' | 'new';
  text: string;
}

const MOST_CELLS = 4_000_000;

/** The pieces of both texts in order: joined without `new` they are `before`, without `gone` they are `after`. */
export function diff(before: string, after: string): Piece[] {
  const words = [before.split(/(\s+)/), after.split(/(\s+)/)] as const;
  if (words[0].length * words[1].length <= MOST_CELLS) return pieces(words[0], words[1]);
  const lines = [before.split(/(?<=\n)/), after.split(/(?<=\n)/)] as const;
  if (lines[0].length * lines[1].length <= MOST_CELLS) return pieces(lines[0], lines[1]);
  return [
    { kind: 'gone', text: before },
    { kind: 'new', text: after },
  ];
}

/** By the longest common subsequence. */
function pieces(a: readonly string[], b: readonly string[]): Piece[] {
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      longest[i * width + j] =
        a[i] === b[j]
          ? (longest[(i + 1) * width + j + 1] ?? 0) + 1
          : Math.max(longest[(i + 1) * width + j] ?? 0, longest[i * width + j + 1] ?? 0);
  const found: Piece[] = [];
  const add = (kind: Piece['kind'], text: string): void => {
    const last = found.at(-1);
    if (last?.kind === kind) last.text += text;
    else found.push({ kind, text });
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      add('same', a[i] ?? '');
      i += 1;
      j += 1;
    } else if (
      j >= b.length ||
      (i < a.length && (longest[(i + 1) * width + j] ?? 0) >= (longest[i * width + j + 1] ?? 0))
    ) {
      add('gone', a[i] ?? '');
      i += 1;
    } else {
      add('new', b[j] ?? '');
      j += 1;
    }
  }
  return found;
}
