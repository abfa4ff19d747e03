// Random flows, written in the many ways that people write YAML, and random gestures on them; seeded.

export class Random {
  constructor(private state: number) {}

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  of<T>(all: readonly T[]): T {
    return all[this.below(all.length)] as T;
  }
}

const WORDS = ['find', 'reply', 'route', 'note', 'check', 'sum', 'look', 'ask-it', 'w_1', 'zone', 'é', 'ordér'];
export const VALUES: readonly unknown[] = [
  ...['small', 'auto', 'two words', 'a: b', '# no comment', 'true', '12', '', ' leading', "it's", 'say "so"', 'é ü 🙂'],
  ...[
    '{{ inputs.question }}',
    'one\ntwo',
    'one\n\ntwo\n',
    '- item\n# not a comment\n',
    'end \nof',
    '  deep\nline',
    '|',
    '@x',
    '!tag',
  ],
  ...[
    0,
    12,
    -3,
    0.25,
    true,
    false,
    null,
    [],
    {},
    ['a', 'b'],
    { a: 1, b: 'two words' },
    { list: [{ x: 1 }, { y: '{{ a.b }}' }] },
  ],
];

/** One flow; `ids`: its outermost nodes. Some have nodes within, up to two deep; some lines end as Windows ends them. */
export function flow(random: Random): { text: string; ids: string[] } {
  const made = lines(random);
  return random.chance(0.25) ? { ...made, text: made.text.replaceAll('\n', '\r\n') } : made;
}

function lines(random: Random): { text: string; ids: string[] } {
  const step = random.of([2, 2, 2, 4, 3]);
  const lines: string[] = [];
  const comment = (indent: number): void => {
    if (random.chance(0.25)) lines.push(`${' '.repeat(indent)}# ${random.of(['why', 'a: b', '"quoted"', '- x'])}`);
  };
  const tail = (): string => (random.chance(0.15) ? `  # ${random.of(['said', 'x: y'])}` : '');
  const blank = (): void => {
    if (random.chance(0.4)) lines.push('');
  };
  comment(0);
  lines.push(`name: made${tail()}`);
  if (random.chance(0.5)) lines.push('inputs:', `${' '.repeat(step)}question: text${tail()}`);
  else lines.push('inputs: {question: text}');
  blank();
  lines.push(`nodes:${tail()}`);
  const ids: string[] = [];
  const scalar = (indent: number): string => {
    const kind = random.below(7);
    const inner = ' '.repeat(indent + step);
    const earlier = ids.length > 0 ? `{{ ${random.of(ids)}.text }}` : '{{ inputs.question }}';
    if (kind === 0) return `"${earlier} and \\"more\\""${tail()}`;
    if (kind === 1) return `'it''s ${earlier}'${tail()}`;
    if (kind === 2) return `plain words here${tail()}`;
    if (kind === 3) return `|-${tail()}\n${inner}first ${earlier}\n\n${inner}  second # no comment`;
    if (kind === 4) return `>\n${inner}folded ${earlier}\n${inner}words`;
    if (kind === 5) return `|+\n${inner}kept ${earlier}\n`;
    return `${random.below(100)}${tail()}`;
  };
  const node = (indent: number, id: string, depth: number): void => {
    const space = ' '.repeat(indent);
    comment(indent);
    if (random.chance(0.15)) {
      lines.push(`${space}${id}: {kind: ask, model: small, prompt: "{{ inputs.question }}"}${tail()}`);
      return;
    }
    lines.push(`${space}${id}:${tail()}`);
    const deep = ' '.repeat(indent + step);
    if (depth < 2 && random.chance(0.2)) {
      around(indent + step, id, depth);
      return;
    }
    lines.push(`${deep}kind: ${random.of(['ask', 'template', 'search'])}${tail()}`);
    if (ids.length > 0 && random.chance(0.4)) {
      const one = random.of(ids);
      lines.push(`${deep}${random.of([`after: ${one}`, `after: [${one}]`, `after:\n${deep}- ${one}${tail()}`])}`);
    }
    for (const key of ['model', 'prompt', 'system', 'limit'].filter(() => random.chance(0.5))) {
      comment(indent + step);
      lines.push(`${deep}${key}: ${scalar(indent + step)}`);
    }
    if (random.chance(0.2)) lines.push(`${deep}labels: {a: one, b: "two"}${tail()}`);
    if (random.chance(0.2))
      lines.push(`${deep}labels2:${tail()}`, `${deep}${' '.repeat(step)}a: one`, `${deep}${' '.repeat(step)}b: two`);
  };
  /** The body of a node that has others in it, or of a branch. */
  const around = (indent: number, id: string, depth: number): void => {
    const deep = ' '.repeat(indent);
    const kind = random.of(['each', 'loop', 'branch']);
    lines.push(`${deep}kind: ${kind}${tail()}`);
    if (kind === 'branch') {
      const cases = `${deep}${' '.repeat(step)}`;
      lines.push(`${deep}cases:${tail()}`, `${cases}yes: "{{ inputs.question == 'a' }}"`, `${cases}no: true`);
      return;
    }
    if (kind === 'each') lines.push(`${deep}items: [1, 2]`);
    comment(indent);
    lines.push(`${deep}nodes:${tail()}`);
    const inner = 1 + random.below(3);
    for (let index = 0; index < inner; index += 1) {
      node(indent + step, `${id}_${index}`, depth + 1);
      blank();
    }
    if (random.chance(0.7)) lines.push(`${deep}outputs: {text: "{{ ${id}_0.text }}"}${tail()}`);
  };
  const count = 2 + random.below(5);
  for (let index = 0; index < count; index += 1) {
    const id = `${random.of(WORDS.slice(0, 10))}${index}`;
    node(step, id, 0);
    ids.push(id);
    blank();
  }
  if (random.chance(0.7)) lines.push('outputs:', `${' '.repeat(step)}answer: "{{ ${random.of(ids)}.text }}"${tail()}`);
  return { text: lines.join('\n') + (random.chance(0.8) ? '\n' : ''), ids };
}
