import { expect, test } from 'vitest';
import { visible } from '../src/kit/turning';

test('characters that turn the order of text are shown by their number', () => {
  expect(visible('safe\u202egpj.exe')).toBe('safe[U+202E]gpj.exe');
  expect(visible('a\u2066b\u2069')).toBe('a[U+2066]b[U+2069]');
});

test('letters of any script, and marks that their writers use, stay', () => {
  for (const text of ['שלום', 'مرحبا', 'a\u200fb', 'naïve 你好']) expect(visible(text)).toBe(text);
});
