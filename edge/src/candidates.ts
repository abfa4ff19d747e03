// Which models may answer a request, cheapest first, and for each other model why not. The gateway's own rules.

import { measure, modalitiesOf, type Chat } from './chat.js';
import { isWithin, type DataDecision } from './data_policy.js';
import { EdgeError, type Code } from './errors.js';
import { matchesAny, type Caller } from './keys.js';
import type { RequestOptions } from './options.js';
import type { Plan, Price, Release, Row } from './release.js';

export const BYTES_PER_TOKEN = 4;
const MAX_BYTES_PER_TOKEN = 8;
const ESTIMATE_MARGIN = 1.35;
const TOKENS_PER_MESSAGE = 4;
const TOKENS_PER_MEDIA = 800;
const DEFAULT_ANSWER_TOKENS = 1_000;
const MAX_CHOICE_CALLS = 16;
const MAX_NAMED = 2;
const CAPABILITY_HINT = 'remove it, or use a model that supports it';

export interface Needs {
  chat: Chat;
  caller: Caller;
  data: DataDecision;
  options: RequestOptions;
  bytes: number;
  promptTokens: number;
  modalities: Set<string>;
}

/** `cost`: expected, in pico-dollars; null: unknown. */
export interface Candidate {
  row: Row;
  cost: number | null;
  quality: number | null;
}

interface Rejection {
  row: Row;
  why: string;
  code: Code;
  param: string | null;
  hint: string;
}

export function needsOf(chat: Chat, caller: Caller, data: DataDecision, options: RequestOptions): Needs {
  const { bytes, media } = measure(chat);
  const promptTokens =
    Math.floor(bytes / BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * chat.messages.length + TOKENS_PER_MEDIA * media;
  return { chat, caller, data, options, bytes, promptTokens, modalities: modalitiesOf(chat) };
}

/** Candidates in their order, and in words what was left out. Throws why there is none. */
export function candidatesOf(
  release: Release,
  plan: Plan,
  needs: Needs,
  predicted: Record<string, number> | null,
): { candidates: Candidate[]; exclusions: string } {
  let { may, against } = split(release, plan, needs, predicted, ESTIMATE_MARGIN);
  if (!may.length && !plan.exact && against.some((each) => each.code === 'context_length_exceeded')) {
    ({ may, against } = split(release, plan, needs, predicted, 1));
  }
  if (!may.length) throw noModel(plan, against);
  may.sort(byCost);
  const alone = may.length === 1 && !plan.exact && !needs.chat.tools; // with tools it is a session, as in the gateway
  const told = alone ? against.slice(0, MAX_NAMED).map((each) => `${each.row.name} ${each.why}`) : [];
  if (alone && against.length > MAX_NAMED) told.push(`${against.length - MAX_NAMED} more do not fit`);
  return { candidates: may, exclusions: told.join('; ') };
}

function split(
  release: Release,
  plan: Plan,
  needs: Needs,
  predicted: Record<string, number> | null,
  margin: number,
): { may: Candidate[]; against: Rejection[] } {
  const may: Candidate[] = [];
  const against: Rejection[] = [];
  for (const name of plan.models) {
    const row = release.rows[name];
    if (!row) continue;
    const why = rejection(row, needs, plan.exact, margin);
    if (why) against.push(why);
    else
      may.push({ row, cost: expectedCost(row, needs), quality: predicted ? (predicted[name] ?? null) : row.quality });
  }
  return { may, against };
}

function byCost(one: Candidate, other: Candidate): number {
  if ((one.cost === null) !== (other.cost === null)) return one.cost === null ? 1 : -1;
  return (one.cost ?? 0) - (other.cost ?? 0) || one.row.strength - other.row.strength;
}

function rejection(row: Row, needs: Needs, exact: boolean, margin: number): Rejection | null {
  const { caller, data, chat, options } = needs;
  const no = (code: Code, why: string, param: string | null = null, hint = ''): Rejection => {
    return { row, why, code, param, hint };
  };
  if (!matchesAny(row.name, caller.models)) {
    return no('forbidden', 'is not among the models that this key allows', null, 'use a key that allows it');
  }
  if (!isWithin(data.reach, row.place)) {
    const why = `is at place '${row.place}', and ${data.reason} may go no further than '${data.reach}'`;
    return no('forbidden', why, null, 'use a nearer model, or widen [egress] in sizewise.toml');
  }
  if (data.offline && !(isWithin('machine', row.place) && isWithin(data.reach, row.place))) {
    return no('forbidden', `is at place '${row.place}', and ${data.offline} denies online models`);
  }
  if (row.task !== 'chat') {
    return no('bad_request', `is ${row.kind}`, 'model', 'use another model, or the API endpoint of this one');
  }
  return (
    tooSmall(row, options.minWindow, exact, no) ??
    tooLong(row, needs, exact, margin, no) ??
    incapable(row, needs, exact, no) ??
    tooDear(row, needs, no) ??
    (!exact && row.maxOutput !== null && (chat.maxTokens ?? 0) > row.maxOutput
      ? no(
          'bad_request',
          `can output at most ${row.maxOutput} tokens, and the request asks for ${chat.maxTokens}`,
          'max_tokens',
        )
      : null)
  );
}

type No = (code: Code, why: string, param?: string | null, hint?: string) => Rejection;

function tooSmall(row: Row, least: number | null, exact: boolean, no: No): Rejection | null {
  if (least === null || (row.context === null && exact) || (row.context ?? 0) >= least) return null;
  const hint = 'use a model with a larger context window, or raise `context` in [local] for an embedded one';
  const why =
    row.context === null
      ? `has an unknown context window, and the request requires ${least} tokens`
      : `has a context window of ${row.context} tokens, and the request requires ${least}`;
  return no('no_model_fits', why, 'min_window', hint);
}

function tooLong(row: Row, needs: Needs, exact: boolean, margin: number, no: No): Rejection | null {
  const answer = needs.chat.maxTokens ?? 0;
  const { context } = row;
  if (context === null || needs.bytes + answer <= context) return null;
  let why: string;
  if (exact) {
    if (Math.floor(needs.bytes / MAX_BYTES_PER_TOKEN) <= context) return null;
    why = `accepts at most ${context} prompt tokens, and this prompt has about ${needs.promptTokens}`;
  } else {
    const most = Math.trunc(needs.promptTokens * margin);
    if (most + answer <= context) return null;
    why = `has a context window of ${context} tokens, and this request needs about ${needs.promptTokens + answer}`;
    if (needs.promptTokens + answer <= context) why += `, perhaps ${most + answer}`;
  }
  const hint = 'shorten the prompt, or use a model with a larger context window';
  return no('context_length_exceeded', why, 'messages', hint);
}

function incapable(row: Row, needs: Needs, exact: boolean, no: No): Rejection | null {
  const { chat, modalities } = needs;
  const blind = [...modalities].filter((each) => !row.modalities.includes(each)).sort();
  if (blind.length && (!exact || row.knowsModalities)) {
    return no('bad_request', `does not accept ${blind.join(', ')}`, 'messages', CAPABILITY_HINT);
  }
  if (chat.tools && !row.drop.includes('tools') && !row.tools && (!exact || row.tools === false)) {
    const why = row.tools === false ? 'does not support tool calls' : 'is not known to support tool calls';
    return no('bad_request', why, 'tools', CAPABILITY_HINT);
  }
  if (chat.logprobs && !row.drop.includes('logprobs') && !row.logprobs && (!exact || row.logprobs === false)) {
    const why =
      row.logprobs === false ? 'does not support log-probabilities' : 'is not known to support log-probabilities';
    return no('bad_request', why, 'logprobs', CAPABILITY_HINT);
  }
  if (chat.n > MAX_CHOICE_CALLS && row.singleChoice) {
    const why = `makes one choice per call, in at most ${MAX_CHOICE_CALLS} calls, and \`n\` is ${chat.n}`;
    return no('bad_request', why, 'n', `ask for at most ${MAX_CHOICE_CALLS} choices, or use another model`);
  }
  return null;
}

function tooDear(row: Row, needs: Needs, no: No): Rejection | null {
  const most = needs.options.maxCost;
  if (most === null) return null;
  const cost = expectedCost(row, needs);
  if (cost === null) return no('over_budget', 'has no known price, and the request sets a maximum cost');
  if (cost <= most) return null;
  const why = `could cost ${dollars(cost)} dollars, and the request allows ${dollars(most)}`;
  return no('over_budget', why, null, 'raise the maximum cost, or request fewer tokens');
}

// ---- money -----------------------------------------------------------------------------------------------------------

export function expectedCost(row: Row, needs: Needs): number | null {
  const calls = row.singleChoice ? needs.chat.n : 1;
  const out = (needs.chat.maxTokens ?? DEFAULT_ANSWER_TOKENS) * Math.floor(needs.chat.n / calls);
  const costs = [row.price, ...row.price.others].map((each) => tokenCost(each, needs.promptTokens, out));
  if (costs.some((each) => each === null)) return null;
  return calls * (Math.max(...(costs as number[])) + (row.price.request ?? 0));
}

/** Pico-dollars; null if a kind of token that occurs has no known price. */
export function tokenCost(price: Price, input: number, output: number): number | null {
  for (const [tokens, dearer] of [...price.tiers].reverse()) {
    if (input > tokens) return tokenCost(dearer, input, output);
  }
  if ((price.input === null && input) || (price.output === null && output)) return null;
  return input * (price.input ?? 0) + output * (price.output ?? 0);
}

/** Pico-dollars as an exact decimal in dollars. */
export function dollars(pico: number | null): string {
  if (pico === null) return 'unknown';
  const whole = Math.floor(pico / 1e12);
  const rest = String(Math.round(pico - whole * 1e12)).padStart(12, '0');
  return `${whole}.${rest}`.replace(/\.?0+$/, '') || '0';
}

function noModel(plan: Plan, against: Rejection[]): EdgeError {
  const [only] = against;
  if (only && against.length === 1 && plan.exact) {
    return new EdgeError(only.code, `${only.row.name} ${only.why}`, only.hint, { param: only.param });
  }
  const reasons = against.map((each) => `${each.row.name} ${each.why}`).join('; ');
  if (against.length && against.every((each) => each.code === 'context_length_exceeded')) {
    const param = 'messages';
    return new EdgeError('context_length_exceeded', `the request fits no model: ${reasons}`, 'shorten the prompt', {
      param,
    });
  }
  const hint = 'relax the request, or add a model that meets it';
  return new EdgeError('no_model_fits', `no model meets the request's constraints: ${reasons}`, hint, {
    param: 'model',
  });
}
