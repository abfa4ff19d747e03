// A list by keyset never doubles a row, mixes two lists, or ends in silence.
import { expect, test } from 'vitest';
import { Failure } from '../src/api/failure';
import { PaginatedList, type Part } from '../src/api/pagination.svelte';

type Numbers = Part<number, number>;

/** A list whose parts come when they are told to, and the parts that it asked for. */
function asked() {
  const asks: { after: number | null; come: (part: Numbers) => void; fail: (cause: unknown) => void }[] = [];
  const list = new PaginatedList<number, number>(
    (after) => new Promise((come, fail) => asks.push({ after, come, fail })),
  );
  return { list, asks };
}

async function begun(rows: number[]) {
  const { list, asks } = asked();
  const first = list.run();
  asks[0]?.come({ rows, next: rows.at(-1) ?? null });
  await first;
  return { list, asks };
}

test('more is asked for once at a time', async () => {
  const { list, asks } = await begun([9, 8]);
  const more = list.more();
  await list.more();
  expect(list.busy).toBe(true);
  expect(asks.map((each) => each.after)).toEqual([null, 8]);
  asks[1]?.come({ rows: [7], next: null });
  await more;
  expect([list.rows, list.next, list.busy]).toEqual([[9, 8, 7], null, false]);
  await list.more();
  expect(asks.length).toBe(2);
});

test('what comes for the list before is left out', async () => {
  const { list, asks } = await begun([9, 8]);
  const more = list.more();
  const anew = list.run();
  expect(list.rows, 'the old rows stay until new ones are here').toEqual([9, 8]);
  asks[1]?.come({ rows: [7], next: 7 });
  await more;
  expect(list.rows).toEqual([9, 8]);
  await list.more();
  asks[2]?.come({ rows: [5], next: null });
  await anew;
  expect([list.rows, list.next, list.busy]).toEqual([[5], null, false]);
  expect(asks.length).toBe(3);
});

test('the first part anew ends the list until more is asked for', async () => {
  const { list, asks } = await begun([9, 8]);
  const more = list.more();
  asks[1]?.come({ rows: [7], next: 7 });
  await more;
  const anew = list.run();
  asks[2]?.come({ rows: [10, 9], next: 9 });
  await anew;
  expect([list.rows, list.next]).toEqual([[10, 9], 9]);
});

test('a failure is told, and the next try goes on from there', async () => {
  const { list, asks } = await begun([9, 8]);
  const more = list.more();
  asks[1]?.fail(new Failure('Not now.'));
  await more;
  expect([list.failure?.message, list.rows, list.busy]).toEqual(['Not now.', [9, 8], false]);
  const again = list.more();
  expect([list.failure, asks[2]?.after]).toEqual([null, 8]);
  asks[2]?.come({ rows: [7], next: null });
  await again;
  expect(list.rows).toEqual([9, 8, 7]);
});

test('after a first part that failed it is asked for anew, not on from the list before', async () => {
  const { list, asks } = await begun([9, 8]);
  const anew = list.run();
  asks[1]?.fail(new Failure('Not now.'));
  await anew;
  void list.more();
  expect(asks.map((each) => each.after)).toEqual([null, null, null]);
});
