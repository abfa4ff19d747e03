// Which version of a flow answers where, as the pages of flows say it.
import { describe, expect, it } from 'vitest';
import { answers, liveIn, onceLive } from '../../src/flows/answering';
import type { EnvironmentFlows } from '../../src/flows/queries';

const place = (environment: string, version: string | null, canaryVersion: string | null = null): EnvironmentFlows => ({
  environment,
  release: null,
  canary: canaryVersion && 'c'.repeat(64),
  share: canaryVersion ? 0.125 : 0,
  flows: (version ?? canaryVersion) ? [{ name: 'hello', version, canaryVersion }] : [],
});
const [one, two] = ['1'.repeat(64), '2'.repeat(64)];

describe('where a version of a flow answers', () => {
  it('names the version of each environment, and that of a canary', () => {
    expect(answers([place('staging', two), place('prod', one, two), place('old', null)], 'hello')).toEqual([
      'staging answers with version 22222222',
      'prod answers with version 11111111, its canary with 22222222 (12.5 % of new sessions)',
      'old does not have it',
    ]);
    expect(answers([place('prod', one, one)], 'hello')).toEqual(['prod answers with version 11111111']);
    expect(answers([], 'hello')).toEqual([]);
  });

  it('says when a published version answers', () => {
    const [follows, stays] = [
      { ...place('staging', two), release: null },
      { ...place('prod', one), release: 'r' },
    ];
    expect(onceLive([])).toBe('at once');
    expect(onceLive([follows])).toBe('at once');
    expect(onceLive([follows, stays])).toBe('at once in staging, and in prod once it is promoted');
    expect(onceLive([stays])).toBe('in prod once it is promoted');
  });

  it('names the places of a version', () => {
    const places = [place('staging', two), place('prod', one, two)];
    expect(liveIn(places, 'hello', two, true)).toEqual(['live in staging', 'canary of prod']);
    expect(liveIn(places, 'hello', one, false)).toEqual(['live in prod']);
    expect(liveIn(places, 'hello', '3'.repeat(64), false)).toEqual([]);
    expect(liveIn([], 'hello', two, true)).toEqual(['live']);
    expect(liveIn([], 'hello', one, false)).toEqual([]);
  });
});
