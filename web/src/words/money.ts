// Dollars as people read them, from exact decimal texts; never through a float.

const CENT = 2;

/** `0.00001234` -> `$0.0000123`: three digits that count, cents where it is a cent or more. Null is "unknown". */
export function dollars(exact: string | null | undefined): string {
  if (exact === null || exact === undefined) return 'unknown';
  const minus = exact.startsWith('-') ? '−' : '';
  const [whole = '0', part = ''] = exact.replace('-', '').split('.');
  if (whole !== '0') return `${minus}$${grouped(whole)}.${part.padEnd(CENT, '0').slice(0, CENT)}`;
  const first = part.search(/[1-9]/);
  if (first < 0) return '$0';
  const shown = part.slice(0, Math.max(CENT, first + 3)).replace(/0+$/, '');
  return `${minus}$0.${shown.padEnd(CENT, '0')}`;
}

/** With its sign, as a change: `+$0.25`, `−$3.00`. */
export function change(exact: string): string {
  return exact.startsWith('-') || pico(exact) === 0n ? dollars(exact) : `+${dollars(exact)}`;
}

/** The sum of exact decimal texts, exact; null if one of them is unknown. */
export function sum(amounts: readonly (string | null)[]): string | null {
  let total = 0n;
  for (const each of amounts) {
    if (each === null) return null;
    total += pico(each);
  }
  return decimal(total);
}

const DIGITS = 12;

export function pico(exact: string): bigint {
  const minus = exact.startsWith('-');
  const [whole = '0', part = ''] = exact.replace('-', '').split('.');
  const value = BigInt(whole) * 10n ** BigInt(DIGITS) + BigInt(part.padEnd(DIGITS, '0').slice(0, DIGITS) || '0');
  return minus ? -value : value;
}

function decimal(value: bigint): string {
  const digits = (value < 0n ? -value : value).toString().padStart(DIGITS + 1, '0');
  const part = digits.slice(-DIGITS).replace(/0+$/, '');
  return `${value < 0n ? '-' : ''}${digits.slice(0, -DIGITS)}${part ? `.${part}` : ''}`;
}

function grouped(whole: string): string {
  return whole.replace(/\B(?=(\d{3})+$)/g, ',');
}
