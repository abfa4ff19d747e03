import { expect, test } from 'vitest';
import { beside } from '../src/routing/beside';

const model = (name: string, parameters: number | null, state = 'ready', task = 'chat') => ({
  name,
  parameters,
  state,
  task,
});
const small = model('a/small', 135e6);
const middle = model('a/middle', 1.5e9);
const cloud = model('b/cloud', null);

test('beside auto stands the smallest ready model that auto does not ask first', () => {
  expect(beside([cloud, middle, small], ['a/small'])).toBe('a/middle');
  expect(beside([cloud, middle, small], ['a/middle'])).toBe('a/small');
  expect(beside([cloud, small], ['a/small'])).toBe('b/cloud');
});

test('one column where there is one model that is ready', () => {
  expect(beside([small], ['a/small'])).toBe(null);
  expect(beside([small, model('a/large', 9e9, 'not downloaded')], ['a/small'])).toBe(null);
  expect(beside([small, model('a/vectors', 1e7, 'ready', 'embed')], ['a/small'])).toBe(null);
  expect(beside([small], [])).toBe(null);
});
