// How one new value is written in YAML, in the style of what it replaces; never prints a file anew.
import { stringify } from 'yaml';

/** `flow`: within [ ] or { }, where all stands on one line. */
export interface Style {
  quotes: 'plain' | 'double' | 'single' | 'block';
  flow: boolean;
  indent: number;
  step: number;
}

const PLAIN = /^[A-Za-z_](?:[\w ./@%+-]*[\w./%+-])?$/;
// eslint-disable-next-line no-control-regex -- what a block cannot hold: control characters, blanks at an end
const UNBLOCKABLE = /[\r\t\u0000-\u0008\u000b-\u001f\u0085\u2028\u2029\ufeff]|[ ]+\n|^\s|\n[ ]+$/;
const SPECIAL = /^(?:true|false|null|yes|no|on|off|y|n|~)$/i;

export const plainSafe = (value: string): boolean => PLAIN.test(value) && !SPECIAL.test(value);

/** The text behind `key:` and, for blocks, the lines below it, each with its line break in front. */
export function printed(value: unknown, style: Style): { head: string; lines: string } {
  if (typeof value === 'string') return text(value, style);
  if (value === null || typeof value !== 'object') return { head: JSON.stringify(value ?? null), lines: '' };
  const empty = Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0;
  if (style.flow || empty) return { head: JSON.stringify(value), lines: '' };
  const whole = stringify(value, { indent: style.step, lineWidth: 0 }).trimEnd();
  return { head: '', lines: indented(whole, style.indent + style.step) };
}

function text(value: string, style: Style): { head: string; lines: string } {
  const { quotes, flow } = style;
  if (value.includes('\n')) {
    const blockable = !flow && !UNBLOCKABLE.test(value);
    if (!blockable) return { head: JSON.stringify(value), lines: '' };
    const end = /\n*$/.exec(value)?.[0].length ?? 0;
    const chomp = end === 0 ? '-' : end === 1 ? '' : '+';
    const body = end === 0 ? value : value.slice(0, -1);
    return { head: `|${chomp}`, lines: indented(body, style.indent + style.step) };
  }
  if (quotes === 'single' && !/[^\x20-\x7e\u00a0-\ufffd]/.test(value))
    return { head: `'${value.replaceAll("'", "''")}'`, lines: '' };
  if (quotes !== 'double' && plainSafe(value)) return { head: value, lines: '' };
  return { head: JSON.stringify(value), lines: '' };
}

function indented(whole: string, by: number): string {
  const space = ' '.repeat(by);
  return whole
    .split('\n')
    .map((line) => `\n${line === '' ? '' : space + line}`)
    .join('');
}
