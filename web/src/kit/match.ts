// Whether an address fits a pattern, and what it names; pure.

export type Parameters = Record<string, string>;

/** The parameters of `path` if it fits `pattern`, else null. `:name` is one part, `*name` at the end all that follows. */
export function match(pattern: string, path: string): Parameters | null {
  const wanted = pattern.split('/').filter(Boolean);
  const there = path.split('/').filter(Boolean);
  const found: Parameters = {};
  for (const [number, piece] of wanted.entries()) {
    if (piece.startsWith('*') && there.length > number) {
      found[piece.slice(1)] = there.slice(number).map(decoded).join('/');
      return found;
    }
    const value = there[number];
    if (value === undefined) return null;
    if (piece.startsWith(':')) found[piece.slice(1)] = decoded(value);
    else if (piece !== value) return null;
  }
  return wanted.length === there.length ? found : null;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
