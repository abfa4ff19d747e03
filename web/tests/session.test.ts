// A page is of one person in one project: another session asks nothing for it, and a proxy ends none.
import { expect, test, vi } from 'vitest';
import { session, type Who } from '../src/api/session.svelte';

const ANNA: Who = {
  session: 'se-1',
  user: 'us-1',
  email: 'anna@example.com',
  name: 'Anna',
  organization: 'local',
  project: 'default',
  projects: ['default', 'lab'],
  role: 'owner',
  permissions: ['ask'],
  csrf: 'proof',
  expires: 0,
};
const answers: Response[] = [];
vi.stubGlobal('fetch', (path: string) =>
  Promise.resolve(path === '/auth/session' ? answers.shift() : new Response('{}')),
);

async function answered(...next: (Partial<Who> | number)[]): Promise<void> {
  answers.push(
    ...next.map((each) =>
      typeof each === 'number' ? new Response('', { status: each }) : Response.json({ ...ANNA, ...each }),
    ),
  );
  await session.load();
}

test('a proxy whose server is away, and an error of the server, end no session', async () => {
  await answered({});
  const states: string[] = [];
  const looks = answered(502, 503, {});
  while (answers.length > 0) {
    states.push(session.state);
    await new Promise((next) => setTimeout(next, 50));
  }
  await looks;
  await answered(500);
  expect(new Set([...states, session.state])).toEqual(new Set(['in']));
  await answered(401);
  expect([session.state, session.who?.name]).toEqual(['out', 'Anna']);
});

test('what is asked as a tab is entered waits for who is signed in by then', async () => {
  await answered({});
  const looks = answered({ project: 'lab' });
  let asks = false;
  const waits = session.entered().then(() => (asks = true));
  await looks;
  await new Promise((next) => setTimeout(next));
  expect([session.state, asks]).toEqual(['moved', false]);
  await answered({});
  await waits;
});

test.each([{ project: 'lab' }, { user: 'us-2' }])('a page waits while the session has %o', async (other) => {
  await answered({});
  await answered({ ...other, csrf: 'another' });
  expect([session.state, session.who?.user, session.who?.project]).toEqual(['moved', 'us-1', 'default']);
  expect(session.other).toMatchObject(other);
  expect(session.headers, 'with which it is moved back').toEqual({ 'x-sizewise-csrf': 'another' });
  let asks = false;
  const waits = session.entered().then(() => (asks = true));
  session.expire();
  await new Promise((next) => setTimeout(next));
  expect([session.state, asks]).toEqual(['moved', false]);
  await answered({});
  await waits;
  expect([session.state, session.other, asks]).toEqual(['in', null, true]);
});
