// JSON within a text, where a key written twice is no error: each of its values is kept, in the order of the text.

const BETWEEN = /[ \n\r\t,:]*/y;
const SCALAR = /[^ \n\r\t,\]}]*/y;

/** An object: all its names and values, also those of a repeated name. */
export class Members {
  constructor(readonly items: [name: string, value: unknown][]) {}
}

/** The value of JSON; its objects are Members. Throws SyntaxError, and RangeError if it is nested too deeply. */
export function readMembers(text: string): unknown {
  JSON.parse(text); // only valid JSON goes on
  return new Reader(text).value();
}

/** The inverse of `readMembers`. */
export function writeMembers(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(writeMembers).join(',')}]`;
  if (!(value instanceof Members)) return JSON.stringify(value);
  return `{${value.items.map(([name, each]) => `${JSON.stringify(name)}:${writeMembers(each)}`).join(',')}}`;
}

/** The place behind the string that begins at `start`. */
export function stringEnd(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    const c = text.charCodeAt(at);
    if (c === 0x5c) at++;
    else if (c === 0x22) return at + 1;
  }
}

/** Reads text that is valid JSON. */
class Reader {
  private at = 0;

  constructor(private readonly text: string) {}

  value(): unknown {
    const c = this.next();
    if (c === '{') return new Members(this.list(() => [this.value() as string, this.value()]));
    if (c === '[') return this.list(() => this.value());
    const start = this.at;
    this.at = c === '"' ? stringEnd(this.text, start) : this.end(SCALAR);
    return JSON.parse(this.text.slice(start, this.at));
  }

  private list<T>(item: () => T): T[] {
    const found: T[] = [];
    this.at += 1; // the opening bracket
    while (!'}]'.includes(this.next())) found.push(item());
    this.at += 1;
    return found;
  }

  /** The next character that is no space and separates nothing. */
  private next(): string {
    this.at = this.end(BETWEEN);
    return this.text.charAt(this.at);
  }

  private end(of: RegExp): number {
    of.lastIndex = this.at;
    of.test(this.text);
    return of.lastIndex;
  }
}
