// The policies that a Worker runs: fixed, cheapest, learned and cascade, in the gateway's order and words.

import type { Candidate } from './candidates.js';
import { EdgeError } from './errors.js';
import { findProblem } from './judge.js';
import type { Chat } from './chat.js';
import type { Choice } from './reply.js';
import type { Plan, Row } from './release.js';

const UNCALIBRATED = 'uncalibrated, so on average over requests nothing is promised';
const NO_BASIS = 'prior: no basis to tell when a model this small is right; the best model answers';
const BASE_DELAY_S = 0.2;
const MAX_DELAY_S = 10;
const JITTER = 0.25;

/** What an attempt came to. `answer`: to be delivered; of a held one `choices` are there to be judged. */
export interface Outcome<Answer> {
  row: Row;
  why: string;
  answer: Answer | null;
  choices: Choice[];
  error: EdgeError | null;
  degraded: string;
}

/** Makes one attempt. `holdS`: the client sees nothing of it unless it is returned; after so many seconds it failed. */
export type Attempt<Answer> = (row: Row, why: string, holdS?: number) => Promise<Outcome<Answer>>;

export interface Asked {
  chat: Chat;
  candidates: Candidate[];
  /** Why no quality is predicted; empty: it is. */
  abstention: string;
}

export function runPolicy<A>(plan: Plan, asked: Asked, attempt: Attempt<A>): Promise<Outcome<A>> {
  const { candidates } = asked;
  const rows = candidates.map((each) => each.row);
  if (plan.kind === 'cascade') return cascade(plan, asked, attempt);
  if (plan.kind === 'learned') {
    const [first, why] = learned(plan, asked);
    const rest = candidates.filter((each) => each !== first).map((each) => each.row);
    rest.sort((one, other) => other.strength - one.strength);
    return withFallbacks([first.row, ...rest], why, plan.options.retries, plan.options.maxRetryDelayS, attempt);
  }
  const { order, retries, maxRetryDelayS } = plan.options;
  if (plan.kind === 'cheapest') return withFallbacks(rows, whyFirst(candidates), retries, maxRetryDelayS, attempt);
  if (order.length > 1 && rows.length > 1)
    rows.sort((one, other) => order.indexOf(one.name) - order.indexOf(other.name));
  return withFallbacks(rows, plan.why, retries, maxRetryDelayS, attempt);
}

/** One model after the other until one answers. A transient failure is retried; each error before the first word counts. */
async function withFallbacks<A>(
  rows: Row[],
  why: string,
  retries: number,
  maxRetryDelayS: number,
  attempt: Attempt<A>,
): Promise<Outcome<A>> {
  let because = why;
  let got: Outcome<A> | null = null;
  for (const row of rows) {
    got = await attempt(row, because);
    for (let number = 0; number < retries && got.error && mayRetry(got.error, maxRetryDelayS); number++) {
      await pause(got.error, number);
      got = await attempt(row, `${failure(got)}; retried`);
    }
    if (!got.error) return got;
    because = failure(got);
  }
  if (!got) throw new EdgeError('internal_error', 'the policy has no model');
  return got;
}

function mayRetry(error: EdgeError, maxRetryDelayS: number): boolean {
  if (error.retryAfter !== null) return error.retryAfter <= maxRetryDelayS;
  return error.retryable;
}

function pause(error: EdgeError, number: number): Promise<void> {
  const spread =
    error.retryAfter === null ? Math.min(BASE_DELAY_S * 2 ** number, MAX_DELAY_S) : error.retryAfter * JITTER;
  const seconds = (error.retryAfter ?? 0) + spread * Math.random();
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

function failure<A>(outcome: Outcome<A>): string {
  return `${outcome.row.name} failed (${outcome.error?.code})`;
}

// ---- cascade ---------------------------------------------------------------------------------------------------------

interface Distrusted<A> {
  outcome: Outcome<A>;
  why: string;
}

/** Small models first, held and judged by the rules; then the strongest, unjudged. */
async function cascade<A>(plan: Plan, { chat, candidates }: Asked, attempt: Attempt<A>): Promise<Outcome<A>> {
  const { threshold, holdS, whenExhausted } = plan.options;
  let best = 0;
  candidates.forEach((each, place) => {
    if (each.row.strength > (candidates[best] as Candidate).row.strength) best = place;
  });
  const { judges } = plan.options;
  const small = judges ? candidates.slice(0, best) : [];
  const large = candidates.slice(best);
  const needed = threshold.toFixed(2);
  const held: Distrusted<A>[] = [];
  const failed: Outcome<A>[] = [];
  for (const { row } of small) {
    const others = candidates.filter((each) => each.row === row || each === candidates[best]);
    const last = held[held.length - 1];
    const because = last ? doubt(last) : failed.length ? failures(failed) : whyFirst(others);
    const why = `${because}; its answer is shown if it is trusted at ${needed} or more`;
    const got = await attempt(row, why, holdS);
    if (got.error) {
      failed.push(got);
      continue;
    }
    const problem = got.choices.map((each) => findProblem(chat, each)).find(Boolean) ?? '';
    if (!problem || threshold <= 0) {
      const why = `this answer is shown because nothing speaks against it (no rule rejects the reply, the reply has no log-probabilities); ${UNCALIBRATED}`;
      return { ...got, why };
    }
    held.push({ outcome: got, why: problem });
  }
  const why = judges || !best ? whyLarge(large, small.length, held, failed) : NO_BASIS;
  const got = await withFallbacks(
    large.map((each) => each.row),
    why,
    1,
    0,
    attempt,
  );
  const [first] = held;
  if (!got.error || whenExhausted === 'refuse' || !first) return got;
  const reason = `trusted only at 0.00, and ${got.row.name} failed (${got.error.code})`;
  return { ...first.outcome, degraded: reason, why: `shown although ${reason}` };
}

function doubt<A>({ outcome, why }: Distrusted<A>): string {
  return `the answer of ${outcome.row.name} is rejected: ${why}`;
}

function failures<A>(failed: Outcome<A>[]): string {
  return failed.map((each) => failure(each)).join(', ');
}

function whyLarge<A>(large: Candidate[], asked: number, held: Distrusted<A>[], failed: Outcome<A>[]): string {
  const [first] = held;
  if (!asked) {
    return large.length > 1 ? `the best model that fits is also the cheapest${tie(large)}` : whyFirst(large);
  }
  if (!first) return `no smaller model answered: ${failures(failed)}`;
  const so = held.length === asked ? 'no smaller model was trusted' : 'smaller models failed or were not trusted';
  const of = held.length > 1 ? `the best of ${held.length}: ` : '';
  return `${so}: ${of}${doubt(first)}; ${UNCALIBRATED}`;
}

// ---- learned ---------------------------------------------------------------------------------------------------------

function learned(plan: Plan, { candidates, abstention }: Asked): [Candidate, string] {
  const known = candidates.filter((each) => each.quality !== null);
  const { fallback, minGain } = plan.options;
  if (abstention || !known.length) {
    const strongest = candidates.reduce((best, each) => (each.row.strength > best.row.strength ? each : best));
    const why = abstention || 'the predictor knows none of these models';
    const one = fallback === 'large' ? strongest : (candidates[0] as Candidate);
    return [one, `no prediction: ${why}; by default the ${fallback} model`];
  }
  const good = (each: Candidate): number => each.quality ?? 0;
  const best = known.reduce((top, each) => (good(each) > good(top) ? each : top));
  const one = known.find((each) => good(best) - good(each) <= minGain) ?? best;
  const predicted = `predicted quality of this answer: ${good(one).toFixed(2)}`;
  if (one !== best) {
    const other = `${best.row.name} would be at ${good(best).toFixed(2)}, no more than ${minGain} better`;
    return [one, `${predicted}, and ${other} (${UNCALIBRATED})`];
  }
  if (one === known[0]) return [one, `${predicted}, the best of all (${UNCALIBRATED})`];
  const near = known.slice(0, known.indexOf(one)).reduce((top, each) => (good(each) > good(top) ? each : top));
  const other = `cheaper models are more than ${minGain} worse, ${near.row.name} at ${good(near).toFixed(2)}`;
  return [one, `${predicted}, and ${other} (${UNCALIBRATED})`];
}

// ---- in words --------------------------------------------------------------------------------------------------------

function whyFirst(candidates: Candidate[]): string {
  return candidates.length === 1 ? 'the only model that fits' : `the cheapest model that fits${tie(candidates)}`;
}

function tie(candidates: Candidate[]): string {
  const [first, ...others] = candidates;
  const equal = others.filter((each) => each.cost === first?.cost);
  const other = equal[equal.length - 1];
  if (!first || first.cost === null || !other) return '';
  const price = first.cost === 0 ? 'free' : 'at the same cost';
  const gain = first.row.strength < other.row.strength ? 'it is smaller' : 'it is no weaker';
  return ` (${price}, like ${other.row.name}, and ${gain})`;
}
