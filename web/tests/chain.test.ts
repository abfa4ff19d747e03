import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { follow, GENESIS, type Entry } from '../src/accounts/chain';

function chain(length: number): Entry[] {
  const made: Entry[] = [];
  let previous = GENESIS.hash;
  for (let seq = 1; seq <= length; seq += 1) {
    const chained = JSON.stringify(['main', seq, 1000 + seq, { action: 'key.create' }, previous]);
    const hash = createHash('sha256').update(chained).digest('hex');
    made.push({ seq, previous, hash, chained });
    previous = hash;
  }
  return made;
}

test('a whole chain ends at its newest entry, in parts too', async () => {
  const entries = chain(5);
  const half = await follow(entries.slice(0, 2), GENESIS);
  expect(await follow(entries.slice(2), half.at)).toEqual({ at: { seq: 5, hash: entries[4]?.hash }, wrong: '' });
});

test('a changed, a missing and a replaced entry are found', async () => {
  const changed = chain(3).map((each) => ({ ...each, chained: each.chained.replace('create', 'revoke') }));
  expect((await follow(changed, GENESIS)).wrong).toBe('Entry 1 was changed after it was written.');
  expect((await follow(chain(3).toSpliced(1, 1), GENESIS)).wrong).toBe('Entry 2 is missing: 3 follows 1.');
  const [first, second] = chain(2) as [Entry, Entry];
  const other = { ...second, previous: 'f'.repeat(64) };
  expect((await follow([first, other], GENESIS)).wrong).toMatch('does not follow entry 1');
});
