// An address leads to one page, also where it is badly written.
import { expect, test } from 'vitest';
import { match } from '../src/kit/match';

test.each([
  ['/', '/', {}],
  ['/records', '/records/', {}],
  ['/records/:trace', '/records/a%20b', { trace: 'a b' }],
  ['/records/:trace', '/records/%E0%A4%A', { trace: '%E0%A4%A' }],
  ['/records/:trace', '/records', null],
  ['/records', '/records/x', null],
  ['/models/*name', '/models/local/smollm2', { name: 'local/smollm2' }],
  ['/models/*name', '/models', null],
])('%s and %s', (pattern, path, found) => expect(match(pattern, path)).toEqual(found));
