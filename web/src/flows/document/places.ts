// Places as the server counts them, lines and columns in code points from 1, as offsets of the text.

export function offsetOf(text: string, line: number, column: number): number {
  let from = 0;
  for (let each = 1; each < line; each += 1) {
    const end = text.indexOf('\n', from);
    if (end < 0) return text.length;
    from = end + 1;
  }
  return from + units(text.slice(from, from + 2 * column), column - 1);
}

/** The offset of the code point `points` of the text. */
export function units(text: string, points: number): number {
  let at = 0;
  for (let each = 0; each < points && at < text.length; each += 1) at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  return at;
}
