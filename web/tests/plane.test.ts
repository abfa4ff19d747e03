import { expect, test } from 'vitest';
import { apart, liveCost, livePoint, scale } from '../src/quality/plane';

const saved = { requests: 100, small: 70, unpriced: 0, spentUsd: '0.4', baselineUsd: '1', marginUsd: '0.05' };

test('a live point stands at its share of the cost, with both intervals', () => {
  const point = livePoint('live', 'live', { loss: 0.02, lossLow: 0.01, lossHigh: 0.05 }, saved, true);
  expect(point).toMatchObject({ cost: 0.4, costMargin: 0.05, quality: 0.98, low: 0.95, high: 0.99 });
});

test('what is not measured is no number', () => {
  expect(livePoint('live', 'live', { loss: null, lossLow: null, lossHigh: null }, saved, true)?.quality).toBeNull();
  expect(liveCost({ ...saved, baselineUsd: null }, true)).toBeNull();
  expect(liveCost(undefined, true)).toBeNull();
});

test('without prices a cost is the share that the large model answers', () => {
  expect(liveCost({ ...saved, baselineUsd: null }, false)?.cost).toBeCloseTo(0.3);
});

test('a scale has few round ticks around all values', () => {
  expect(scale([0.62, 1], 0.1).ticks).toEqual([0.6, 0.7, 0.8, 0.9, 1]);
  expect(scale([1, 1], 0.1)).toMatchObject({ from: 0.9, to: 1 });
  expect(scale([0, 1, 1.13], 1).ticks.at(-1)).toBe(1.2);
});

test('labels that overlap move apart, the first one stays', () => {
  const label = { x: 10, y: 100, width: 60, text: 'a' };
  const placed = apart([label, { ...label, text: 'b' }, { ...label, x: 200, text: 'c' }], 300);
  expect(placed.map((each) => each.y)).toEqual([100, 116, 100]);
});
