// Amounts, times and counts are shown as they are: exact, and unknown where they are unknown.
import { describe, expect, test } from 'vitest';
import { outcome, standings } from '../src/releases/words';
import { dollars, sum } from '../src/words/money';
import { share, several } from '../src/words/size';
import { ago, duration, moment } from '../src/words/time';

describe('dollars', () => {
  test.each([
    ['0', '$0'],
    ['0.000', '$0'],
    ['0.00001234567', '$0.0000123'],
    ['0.000001', '$0.000001'],
    ['0.5', '$0.50'],
    ['0.126', '$0.126'],
    ['12.3456', '$12.34'],
    ['1234567.8', '$1,234,567.80'],
    ['-0.002', '−$0.002'],
  ])('%s is shown as %s', (exact, shown) => expect(dollars(exact)).toBe(shown));
  test('an unknown price is a word', () => expect(dollars(null)).toBe('unknown'));
  test('sums are exact, where floats are not', () => {
    expect(sum(['0.1', '0.2'])).toBe('0.3');
    expect(sum(['0.000000000001', '-0.000000000002'])).toBe('-0.000000000001');
    expect(sum(['1', null])).toBeNull();
  });
});

describe('times', () => {
  test.each([
    [null, 'unknown'],
    [3.21, '3.2 ms'],
    [840, '840 ms'],
    [2345, '2.35 s'],
    [200_000, '3 min 20 s'],
    [9.96, '10 ms'],
    [999.7, '1.00 s'],
    [9_996, '10.0 s'],
    [59_970, '1 min'],
    [239_700, '4 min'],
    [3_599_600, '1 h'],
    [2 * 3_600_000 + 59.6 * 60_000, '3 h'],
  ])('%s ms is %s', (ms, shown) => expect(duration(ms)).toBe(shown));
  test('the hour after midnight is the first of its day', () => {
    const at = new Date(2026, 10, 30, 0, 5, 33).getTime();
    expect(moment(at, at)).toMatch(/^00\D05\D33$/);
  });
  test('the past is told in words', () => {
    expect(ago(0, 30_000)).toBe('just now');
    expect(ago(0, 3 * 3_600_000)).toBe('3 h ago');
    expect(ago(0, 24 * 3_600_000)).toBe('yesterday');
  });
});

test('a share of nothing is no number', () => {
  expect(share(0, 0)).toBe('none yet');
  expect(share(1, 3)).toBe('33 %');
  expect(several(1, 'request')).toBe('1 request');
  expect(several(2, 'query', 'queries')).toBe('2 queries');
});

describe('what an edge made of a release', () => {
  const edge = { kind: 'machine', wantedSince: 3_000, seen: 5_000 };
  test.each([
    [{ standing: 'failing' }, 'refused it'],
    [{ standing: 'current' }, 'answers with it'],
    [{ standing: 'current', wantedSince: null }, 'answers'],
    [{ standing: 'silent' }, 'answers with it, last heard of 2 min ago'],
    [{ standing: 'lagging' }, 'behind since 2 min ago, not taken yet'],
    [{ standing: 'lagging', seen: 1_000 }, 'behind since 2 min ago, not seen since'],
    [{ standing: 'lagging', kind: 'worker' }, 'behind since 2 min ago, it gets it by: sizewise edge deploy'],
    [{ standing: 'revoked' }, 'its key is not valid'],
  ] as const)('%j: %s', (more, words) => expect(outcome({ ...edge, ...more }, 125_000)).toBe(words));
  test('how many stand how', () =>
    expect(standings({ failing: 3, lagging: 0, silent: 0, current: 970, revoked: 0 })).toBe('3 failing, 970 current'));
});
