// Records on their way home: sent in batches, each once by its id, kept in KV while the gateway is away. No prompt.

import { requestedPolicy, type Attempted } from './answering.js';
import { costOf } from './usage.js';
import type { Finished } from './chat_door.js';
import type { Question } from './answering.js';
import { secretOf, type Env } from './platform.js';
import type { Release } from './release.js';

const PATH = '/edge/records';
const KEPT = 'records/';
/** Records of one report. */
const BATCH = 200;
/** Records of one isolate that wait in memory. */
const MOST = 1_000;
/** Pause in which the records of other requests join a report. */
const PAUSE_MS = 300;
const RETRY_MS = 5_000;
/** Seconds that KV keeps what the gateway could not take. */
const KEPT_S = 3 * 86_400;
/** Pause between two looks into KV for what other isolates kept. */
const LOOK_MS = 60_000;

type Wire = Record<string, unknown>;
const waiting: Wire[] = [];
const home = { lost: 0, retryAt: 0, lookAt: 0 };

export interface Times {
  /** Unix ms of the request's arrival. */
  at: number;
  /** Unix ms of the first word; null: there was none. */
  first: number | null;
}

/** null: the gateway has its own record of all of it. */
export function recordOf(
  question: Question,
  finished: Finished,
  trace: string,
  times: Times,
  endpoint: string,
): Wire | null {
  const { attempts, answered, error, cached } = finished;
  if (attempts.length && attempts.every(({ row }) => row.via === 'origin')) return null;
  const now = Date.now();
  const last = attempts[attempts.length - 1];
  const model = cached?.model ?? (error && !answered ? '' : (answered?.outcome.row.name ?? ''));
  return {
    id: crypto.randomUUID().replaceAll('-', ''),
    key: question.caller.id,
    project: question.caller.project,
    trace,
    at: times.at,
    endpoint,
    asked: cut(question.chat.model, 200),
    policy: cut(answered?.plan.policy ?? requestedPolicy(question), 200),
    model,
    why: cut(cached?.why ?? answered?.outcome.why ?? '', 500),
    status: !error
      ? 200
      : error.code === 'stream_interrupted' && error.message === 'the client left'
        ? 499
        : error.status,
    error: error?.code ?? '',
    attempts: attempts.map((each) => attemptOf(each, each === last && each.row.name === model, times.at)),
    first_ms: times.first === null ? null : times.first - times.at,
    total_ms: now - times.at,
    stream: question.chat.stream,
    degraded: cut(answered?.outcome.degraded ?? '', 500),
    data_class: answered?.data.dataClass ?? question.caller.dataClass,
    guards: cut(answered?.guards ?? '', 500),
  };
}

function attemptOf({ row, result, error, usage, ms, began }: Attempted, shown: boolean, at: number): Wire {
  const counted = row.via !== 'origin' && result !== 'failed';
  const { input, output, cached, reasoning, estimated } = usage;
  return {
    model: row.name,
    place: row.place,
    result: result === 'answered' && !shown ? 'distrusted' : result,
    why: row.via === 'origin' ? 'asked at the gateway, which has its own record' : '',
    began_ms: Math.max(0, began - at),
    ended_ms: Math.max(0, began - at + ms),
    ...(counted ? { input, output, cached, reasoning, estimated } : {}),
    cost: counted ? costOf(row, usage) : 0,
    error,
  };
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : [...text].slice(0, most).join('').slice(0, most);
}

/** To be waited for after the answer. Never throws: a record is sent, kept, or counted as lost. */
export async function bringHome(env: Env, release: Release, record: Wire): Promise<void> {
  if (!release.recordsKey) return;
  add([record]);
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  while (waiting.length) {
    const batch = waiting.splice(0, BATCH);
    if (!(await send(env, release, batch))) return keep(env, batch);
  }
  await sendKept(env, release);
}

function add(records: Wire[]): void {
  waiting.push(...records);
  const over = waiting.length - MOST;
  if (over <= 0) return;
  waiting.splice(0, over);
  home.lost += over;
}

/** false: the gateway is away, or does not take the key. What it cannot read is lost, and counted. */
async function send(env: Env, release: Release, records: Wire[]): Promise<boolean> {
  if (Date.now() < home.retryAt) return false;
  const { name: edge, hash, build, version } = release;
  const state = { edge, kind: 'worker', release: hash, build, version, waiting: waiting.length, lost: home.lost };
  try {
    const response = await fetch(release.origin + PATH, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${secretOf(env, release.recordsKey)}` },
      body: JSON.stringify({ ...state, records }),
      redirect: 'manual',
    });
    await response.body?.cancel();
    if (response.status === 400 || response.status === 413) home.lost += records.length;
    else if (response.status !== 200) throw new Error(`${response.status}`);
    return true;
  } catch {
    home.retryAt = Date.now() + RETRY_MS;
    return false;
  }
}

async function keep(env: Env, records: Wire[]): Promise<void> {
  try {
    if (!env.KEYS) throw new Error('no KV');
    await env.KEYS.put(KEPT + crypto.randomUUID(), JSON.stringify(records), { expirationTtl: KEPT_S });
    home.lookAt = 0;
  } catch {
    add(records);
  }
}

/** What was kept here or in other isolates. Sent twice it counts once. */
async function sendKept(env: Env, release: Release): Promise<void> {
  if (!env.KEYS || Date.now() < Math.max(home.lookAt, home.retryAt)) return;
  home.lookAt = Date.now() + LOOK_MS;
  try {
    const { keys } = await env.KEYS.list({ prefix: KEPT, limit: 50 });
    for (const { name } of keys) {
      const kept = (await env.KEYS.get(name, { type: 'json' })) as Wire[] | null;
      if (kept && !(await send(env, release, kept))) return;
      await env.KEYS.delete(name);
    }
    if (keys.length === 50) home.lookAt = 0;
  } catch {
    home.lookAt = 0; // KV is away: what is in it stays there
  }
}
