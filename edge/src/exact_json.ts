// JSON kept exactly: integers beyond 2^53 as bigints, and within a text each value of a key that is written twice.

const BETWEEN = /[ \n\r\t,:]*/y;
const SCALAR = /[^ \n\r\t,\]}]*/y;
const INTEGER = /^-?\d+$/;
/** Every integer beyond 2^53 has as many digits. */
const LONG = /\d{16}/;

/** An object: all its names and values, also those of a repeated name. */
export class Members {
  constructor(readonly items: [name: string, value: unknown][]) {}
}

/** As JSON.parse, but an integer beyond 2^53 is a bigint. Throws SyntaxError, and RangeError if nested too deeply. */
export function readJson(text: string): unknown {
  const plain: unknown = JSON.parse(text);
  return LONG.test(text) ? new Reader(text, (items) => Object.fromEntries(items)).value() : plain;
}

/** As `readJson`, but objects are Members. */
export function readMembers(text: string): unknown {
  JSON.parse(text); // only valid JSON goes on
  return new Reader(text, (items) => new Members(items)).value();
}

/** The inverse of both; as JSON.stringify, it leaves out what is undefined. */
export function writeJson(value: unknown): string {
  if (typeof value === 'bigint') return `${value}`;
  if (Array.isArray(value)) return `[${value.map(writeJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const items: Members['items'] = value instanceof Members ? value.items : Object.entries(value);
  const known = items.filter(([, each]) => each !== undefined);
  return `{${known.map(([name, each]) => `${JSON.stringify(name)}:${writeJson(each)}`).join(',')}}`;
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

  constructor(
    private readonly text: string,
    private readonly object: (items: Members['items']) => unknown,
  ) {}

  value(): unknown {
    const c = this.next();
    if (c === '{') return this.object(this.list(() => [this.value() as string, this.value()]));
    if (c === '[') return this.list(() => this.value());
    const start = this.at;
    this.at = c === '"' ? stringEnd(this.text, start) : this.end(SCALAR);
    const scalar = this.text.slice(start, this.at);
    return INTEGER.test(scalar) && !Number.isSafeInteger(Number(scalar)) ? BigInt(scalar) : JSON.parse(scalar);
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
