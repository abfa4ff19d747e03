// What the palette finds for a few letters.
import { expect, test } from 'vitest';
import { matching } from '../src/kit/palette';

const named = (...names: string[]) => names.map((name) => ({ kind: 'page', name, to: '/' }));
const found = (names: string[], said: string) => matching(named(...names), said).map((each) => each.name);

test('a beginning goes before a word within, and that before letters in order', () => {
  expect(found(['Annotate', 'flow:plan', 'Knowledge', 'Plans', 'Explain'], 'pla')).toEqual([
    'Plans',
    'flow:plan',
    'Explain',
  ]);
  expect(found(['Knowledge', 'Keys'], 'kw')).toEqual(['Knowledge']);
});

test('a trace is found by its id, and nothing by nothing', () => {
  const id = 'a'.repeat(32);
  expect(matching([], id)).toEqual([{ kind: 'trace', name: id, to: `/records/${id}` }]);
  expect(matching([], 'x')).toEqual([]);
});
