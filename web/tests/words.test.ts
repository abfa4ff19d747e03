// Amounts, times and counts are shown as they are: exact, and unknown where they are unknown.
import { describe, expect, test } from 'vitest';
import { behind } from '../src/releases/words';
import { dollars, sum } from '../src/words/money';
import { share, several } from '../src/words/size';
import { ago, duration } from '../src/words/time';

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
  ])('%s ms is %s', (ms, shown) => expect(duration(ms)).toBe(shown));
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

describe('how far an edge is behind', () => {
  const environments = [
    { name: 'staging', live: { release: 'c' }, moves: [{ at: 5_000, before: 'b', release: 'c' }] },
    { name: 'prod', live: { release: 'b' }, moves: [{ at: 3_000, before: 'a', release: 'b' }] },
  ];
  test.each([
    [null, false, 'unknown'],
    ['b', false, 'live in prod'],
    ['c', false, 'live in staging'],
    ['a', true, 'behind b since 2 min ago'],
    ['x', true, 'live nowhere'],
  ])('%s: %s', (release, late, words) => expect(behind(release, environments, 123_000)).toEqual({ late, words }));
  test('a release without environments is not late', () => expect(behind('a', []).late).toBe(false));
});
