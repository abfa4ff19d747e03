// Checksums of national IDs, payment cards and account numbers, as in sizewise/guardrails/id_checksums.py.
// Each takes capitals and digits without separators.

type Check = (text: string) => boolean;

function digitsOf(text: string): number[] {
  return Array.from(text, (each) => each.charCodeAt(0) - 48);
}

function weighed(text: string, weights: number[]): number {
  const digits = digitsOf(text);
  return weights.reduce((sum, weight, place) => sum + (digits[place] ?? 0) * weight, 0);
}

function mod(a: number, b: number): number {
  return ((a % b) + b) % b;
}

function isDay(day: number, month: number): boolean {
  return day >= 1 && day <= 31 && month >= 1 && month <= 12;
}

function at(text: string, start: number, end: number): number {
  return Number(text.slice(start, end));
}

const luhn: Check = (text) => {
  const total = digitsOf(text)
    .reverse()
    .reduce((sum, digit, place) => sum + (place % 2 ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit), 0);
  return total % 10 === 0;
};

const paymentCard: Check = (text) => {
  const size = text.length;
  const first = at(text, 0, 4);
  const two = text.slice(0, 2);
  const of = (...prefixes: string[]): boolean => prefixes.includes(two);
  const fits =
    (text[0] === '4' && [13, 16, 19].includes(size)) ||
    (((first >= 5100 && first <= 5599) || (first >= 2221 && first <= 2720)) && size === 16) ||
    (of('34', '37') && size === 15) ||
    (((first >= 3000 && first <= 3059) || of('36', '38', '39')) && size >= 14 && size <= 19) ||
    ((first === 6011 || of('65', '62', '81') || (first >= 6440 && first <= 6499)) && size >= 16 && size <= 19) ||
    (first >= 3528 && first <= 3589 && size >= 16 && size <= 19) ||
    (of('50', '56', '57', '58', '63', '67', '60') && size >= 13 && size <= 19) ||
    (/^(2131|1800)/.test(text) && size === 15);
  return fits && new Set(text).size > 1 && luhn(text);
};

const usSsn: Check = (text) => {
  const [area, group, serial] = [text.slice(0, 3), text.slice(3, 5), text.slice(5)];
  if (area[0] === '9') return serial !== '0000' && '56789'.includes(group[0] as string);
  return !['000', '666'].includes(area) && group !== '00' && serial !== '0000';
};

const ukNhs: Check = (text) => {
  const check = 11 - (weighed(text, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11);
  return check !== 10 && check % 11 === at(text, 9, 10);
};

const esNif: Check = (text) => {
  const number = Number(text.slice(0, -1).replace('X', '0').replace('Y', '1').replace('Z', '2'));
  return 'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23] === text.at(-1);
};

const frNir: Check = (text) => {
  const number = text.slice(0, 13).replace('2A', '19').replace('2B', '18');
  const month = at(text, 3, 5);
  return /^\d+$/.test(number) && month >= 1 && month <= 42 && 97 - (Number(number) % 97) === Number(text.slice(13));
};

const deTax: Check = (text) => {
  if (text[0] === '0' || ![8, 9].includes(new Set(text.slice(0, 10)).size)) return false;
  let product = 10;
  for (const digit of digitsOf(text.slice(0, 10))) product = (((digit + product) % 10 || 10) * 2) % 11;
  return (11 - product) % 10 === at(text, 10, 11);
};

const IT_DIGITS = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21];
const IT_LETTERS = [...IT_DIGITS, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
const itFiscal: Check = (text) => {
  const order = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ';
  const odd = [...IT_DIGITS, ...IT_LETTERS];
  const total = Array.from(text.slice(0, 15)).reduce((sum, c, place) => {
    const value = /\d/.test(c) ? Number(c) : c.charCodeAt(0) - 65;
    return sum + (place % 2 === 0 ? (odd[order.indexOf(c)] ?? 0) : value);
  }, 0);
  return String.fromCharCode(65 + (total % 26)) === text[15];
};

const nlBsn: Check = (text) =>
  mod(weighed(text, [9, 8, 7, 6, 5, 4, 3, 2]) - at(text, 8, 9), 11) === 0 && Number(text) > 0;

const beNational: Check = (text) => {
  const [number, check] = [at(text, 0, 9), at(text, 9, 11)];
  return check === 97 - (number % 97) || check === 97 - ((number + 2_000_000_000) % 97);
};

const plPesel: Check = (text) => {
  const check = (10 - (weighed(text, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10)) % 10;
  return check === at(text, 10, 11) && isDay(at(text, 4, 6), at(text, 2, 4) % 20);
};

const sePerson: Check = (text) => isDay(at(text, 4, 6) % 60, at(text, 2, 4)) && luhn(text);

export const fiHetu: Check = (text) => {
  const number = Number(text.slice(0, 6) + text.slice(7, 10));
  return isDay(at(text, 0, 2), at(text, 2, 4)) && '0123456789ABCDEFHJKLMNPRSTUVWXY'[number % 31] === text[10];
};

const dkCpr: Check = (text) => isDay(at(text, 0, 2), at(text, 2, 4));

const noBirth: Check = (text) => {
  const first = 11 - (weighed(text, [3, 7, 6, 1, 8, 9, 4, 5, 2]) % 11);
  const second = 11 - (weighed(text, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11);
  const dated = isDay(at(text, 0, 2) % 40, at(text, 2, 4) % 40);
  return dated && first % 11 === at(text, 9, 10) && second % 11 === at(text, 10, 11);
};

const brCpf: Check = (text) => {
  if (new Set(text).size === 1) return false;
  const first = ((weighed(text, [10, 9, 8, 7, 6, 5, 4, 3, 2]) * 10) % 11) % 10;
  const second = ((weighed(text, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) * 10) % 11) % 10;
  return first === at(text, 9, 10) && second === at(text, 10, 11);
};

const TURNS = [
  [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
  [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
  [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
];
const verhoeff: Check = (text) => {
  const first = TURNS[0] as number[];
  const turns: number[][] = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], first];
  while (turns.length < 8) {
    const last = turns[turns.length - 1] as number[];
    turns.push(first.map((place) => last[place] as number));
  }
  const check = digitsOf(text)
    .reverse()
    .reduce((sum, digit, place) => dihedral(sum, turns[place % 8]?.[digit] ?? 0), 0);
  return check === 0 && !'01'.includes(text[0] as string);
};

function dihedral(a: number, b: number): number {
  if (a < 5) return b < 5 ? (a + b) % 5 : mod(a + b - 5, 5) + 5;
  return b < 5 ? mod(a - b, 5) + 5 : mod(a - b, 5);
}

const auTax: Check = (text) => weighed(text, [1, 4, 3, 7, 5, 8, 6, 9, 10]) % 11 === 0;

const auMedicare: Check = (text) =>
  '23456'.includes(text[0] as string) && weighed(text, [1, 3, 7, 9, 1, 3, 7, 9]) % 10 === at(text, 8, 9);

const cnResident: Check = (text) => {
  const check = weighed(text, [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11;
  return '10X98765432'[check] === text[17] && isDay(at(text, 12, 14), at(text, 10, 12));
};

const krResident: Check = (text) => {
  const check = mod(11 - (weighed(text, [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11), 10);
  return isDay(at(text, 4, 6), at(text, 2, 4)) && check === at(text, 12, 13);
};

const SG_LETTERS: Record<string, string> = {
  S: 'JZIHGFEDCBA',
  T: 'JZIHGFEDCBA',
  F: 'XWUTRQPNMLK',
  G: 'XWUTRQPNMLK',
  M: 'KLJNPQRTUWX',
};
const sgNric: Check = (text) => {
  const kind = text[0] as string;
  const total = weighed(text.slice(1, 8), [2, 7, 6, 5, 4, 3, 2]) + ({ T: 4, G: 4, M: 3 }[kind] ?? 0);
  return SG_LETTERS[kind]?.[kind === 'M' ? 10 - (total % 11) : total % 11] === text[8];
};

const trPerson: Check = (text) => {
  const d = digitsOf(text);
  const sum = (places: number[]): number => places.reduce((total, place) => total + (d[place] ?? 0), 0);
  const tenth = mod(sum([0, 2, 4, 6, 8]) * 7 - sum([1, 3, 5, 7]), 10);
  return d[0] !== 0 && tenth === d[9] && sum([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) % 10 === d[10];
};

const chAhv: Check = (text) => weighed(text, [1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]) % 10 === 0;

const ptNif: Check = (text) => {
  const check = 11 - (weighed(text, [9, 8, 7, 6, 5, 4, 3, 2]) % 11);
  return (check > 9 ? 0 : check) === at(text, 8, 9);
};

export function ibanHolds(text: string, lengths: Record<string, number>): boolean {
  if (lengths[text.slice(0, 2)] !== text.length || !/^\d\d$/.test(text.slice(2, 4))) return false;
  const digits = Array.from(text.slice(4) + text.slice(0, 4), (c) => parseInt(c, 36)).join('');
  return Array.from(digits).reduce((rest, digit) => (rest * 10 + Number(digit)) % 97, 0) === 1;
}

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/** A legacy Bitcoin address: the last four bytes are a hash of the others. */
export async function base58(text: string): Promise<boolean> {
  let number = 0n;
  for (const c of text) number = number * 58n + BigInt(BASE58.indexOf(c));
  if (number >= 1n << 200n) return false;
  const raw = new Uint8Array(25);
  for (let place = 24; place >= 0; place--, number >>= 8n) raw[place] = Number(number & 255n);
  const once = await crypto.subtle.digest('SHA-256', raw.slice(0, 21));
  const twice = new Uint8Array(await crypto.subtle.digest('SHA-256', once));
  return [0, 1, 2, 3].every((place) => twice[place] === raw[21 + place]);
}

const BECH32 = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';

/** A SegWit Bitcoin address (BIP 173 and 350), in lower case. */
export function bech32(text: string): boolean {
  const split = text.lastIndexOf('1');
  const [head, data] = [text.slice(0, split), text.slice(split + 1)];
  if (split < 1 || Array.from(data).some((c) => !BECH32.includes(c))) return false;
  const codes = digitsOf(head).map((each) => each + 48);
  const values = [
    ...codes.map((each) => each >> 5),
    0,
    ...codes.map((each) => each & 31),
    ...Array.from(data, (c) => BECH32.indexOf(c)),
  ];
  let check = 1;
  for (const value of values) {
    const top = check >>> 25;
    check = (((check & 0x1ffffff) << 5) ^ value) >>> 0;
    [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3].forEach((term, place) => {
      if ((top >> place) & 1) check = (check ^ term) >>> 0;
    });
  }
  return check === 1 || check === 0x2bc830a3;
}

/** By the name of the function in Python. */
export const CHECKS: Record<string, Check> = {
  luhn,
  payment_card: paymentCard,
  us_ssn: usSsn,
  ca_sin: (text) => !'08'.includes(text[0] as string) && luhn(text),
  uk_nhs: ukNhs,
  es_nif: esNif,
  fr_nir: frNir,
  de_tax: deTax,
  it_fiscal: itFiscal,
  nl_bsn: nlBsn,
  be_national: beNational,
  pl_pesel: plPesel,
  se_person: sePerson,
  dk_cpr: dkCpr,
  no_birth: noBirth,
  br_cpf: brCpf,
  verhoeff,
  au_tax: auTax,
  au_medicare: auMedicare,
  cn_resident: cnResident,
  kr_resident: krResident,
  sg_nric: sgNric,
  tr_person: trPerson,
  ch_ahv: chAhv,
  pt_nif: ptNif,
  il_person: luhn,
};
