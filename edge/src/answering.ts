// One chat from plan to answer: who may answer, by which policy, and what every attempt came to. Writes no response.

import { askStream, askWhole, type Caller as Asker, type Started } from './attempt.js';
import { BYTES_PER_TOKEN, candidatesOf, needsOf } from './candidates.js';
import { StreamUnmasker, type Unmasker } from './guards/masking.js';
import { scan, summary, viewFor, type Scan } from './guards/rules.js';
import type { Chat } from './chat.js';
import { decideData, strictest, type DataDecision } from './data_policy.js';
import { EdgeError } from './errors.js';
import { readJson, writeJson } from './exact_json.js';
import type { Caller } from './keys.js';
import { own } from './lookup.js';
import type { RequestOptions } from './options.js';
import { REPAIR_PROMPT, repairMessages } from './decisions.js';
import { runPolicy, type Attempt, type Outcome } from './policies.js';
import type { Plan, Release, Row } from './release.js';
import { predict, userText } from './predictor.js';
import { readReply, type Choice, type Frame, type Reply } from './reply.js';
import type { SchemaCheck, Violation } from './schema.js';
import { costOf, estimateUsage, NO_USAGE, type Usage } from './usage.js';

const REFUSAL = /"refusal":\s*"[^"]/;

/** What the client gets. Of a stream: frames that are there, then the rest as they come. */
export type Answer =
  | { kind: 'whole'; reply: Reply }
  | { kind: 'stream'; started: Started; held: Frame[] | null; restore: StreamUnmasker | null };

/** One finished attempt. `result`: as in the gateway's records. */
export interface Attempted {
  row: Row;
  result: 'answered' | 'failed' | 'distrusted';
  error: string;
  usage: Usage;
  /** Unix ms. */
  began: number;
  ms: number;
}

export interface Answered {
  plan: Plan;
  data: DataDecision;
  outcome: Outcome<Answer>;
  attempts: Attempted[];
  promptTokens: number;
  /** What the guards found, in one line; empty: nothing. */
  guards: string;
}

export interface Question {
  chat: Chat;
  caller: Caller;
  options: RequestOptions;
  asker: Asker;
  /** Of the JSON schema that is asked for; null: nothing is checked here. */
  check: SchemaCheck | null;
}

/** The plan of a model's name. Throws model_not_found, forbidden. */
export function planOf(release: Release, chat: Chat, caller: Caller, options: RequestOptions): Plan {
  const name = chat.model === 'auto' && options.policy !== null ? `auto:${options.policy}` : chat.model;
  const plan = own(release.plans, name) ?? shortPlan(release, name);
  if (!plan) throw unknownModel(name);
  if (caller.policies.length && !caller.policies.includes(plan.policy)) {
    throw new EdgeError(
      'forbidden',
      `the key '${caller.id}' does not allow the policy '${plan.policy}'`,
      `use auto:${caller.policies[0]}`,
      { param: 'model' },
    );
  }
  return plan;
}

/** The policy that a request names, whether there is one or not; as in the gateway's records. */
export function requestedPolicy({ chat, options }: Question): string {
  if (chat.model === 'auto' && options.policy !== null) return options.policy;
  if (chat.model.includes('/')) return 'fixed';
  return chat.model.slice(chat.model.indexOf(':') + 1) || chat.model;
}

function shortPlan(release: Release, name: string): Plan | undefined {
  const same = own(release.short, name) ?? [];
  if (same.length > 1) {
    const words = `'${name}' is ambiguous`;
    throw new EdgeError('model_not_found', words, `use one of: ${same.join(', ')}`, { param: 'model' });
  }
  return same[0] === undefined ? undefined : release.plans[same[0]];
}

function unknownModel(name: string): EdgeError {
  const shown = name.length <= 100 ? name : `${name.slice(0, 100)}…`;
  const words = name.startsWith('auto:')
    ? `there is no policy named '${shown.slice(5)}'`
    : `there is no model named '${shown}'`;
  return new EdgeError('model_not_found', words, 'list the models: GET /v1/models', { param: 'model' });
}

/** Throws the error that the client gets if nobody answers. */
export async function answerChat(release: Release, question: Question, attempts: Attempted[]): Promise<Answered> {
  const { chat, caller, asker } = question;
  const plan = planOf(release, chat, caller, question.options);
  const found = await scan(release.guards, plan.policy, chat);
  const options = tightened(question.options, found);
  const data = decideData(release, caller, options, plan.policy, found.dataClass?.[1] ?? found.offline);
  const needs = needsOf(chat, caller, data, options);
  const { chances, abstention } = predicted(release, plan, chat);
  const { candidates, exclusions } = candidatesOf(release, plan, needs, abstention ? null : chances);
  const { promptTokens } = needs;
  const once = { masked: false, repaired: false };
  const making = { ...once, release, chat, asker, attempts, exclusions, found, check: question.check, promptTokens };
  const outcome = await runPolicy(plan, { chat, candidates, abstention }, attemptWith(making));
  if (outcome.error) throw outcome.error;
  return {
    plan,
    data,
    outcome,
    attempts,
    promptTokens,
    guards: summary(release.guards, plan.policy, found, making.masked),
  };
}

/** Findings only ever make the options stricter. */
function tightened(options: RequestOptions, found: Scan): RequestOptions {
  return {
    ...options,
    dataClass: strictest(options.dataClass, found.dataClass?.[0] ?? null),
    online: options.online && !found.offline,
  };
}

function predicted(release: Release, plan: Plan, chat: Chat): { chances: Record<string, number>; abstention: string } {
  if (!release.predictor || plan.exact) return { chances: {}, abstention: 'no predictor is configured' };
  return predict(release.predictor, userText(chat));
}

interface Making {
  release: Release;
  chat: Chat;
  asker: Asker;
  attempts: Attempted[];
  exclusions: string;
  found: Scan;
  masked: boolean;
  /** Whether a model was shown how its answer breaks the schema: that is done once. */
  repaired: boolean;
  check: SchemaCheck | null;
  promptTokens: number;
}

function attemptWith(making: Making): Attempt<Answer> {
  const { release, asker, attempts, exclusions, found } = making;
  const attempt = async (
    asked: Chat,
    more: number,
    row: Row,
    reason: string,
    holdS?: number,
  ): Promise<Outcome<Answer>> => {
    const { chat, unmasker } = viewFor(release.guards, row, asked, found);
    making.masked ||= unmasker !== null;
    const why = exclusions && !attempts.length ? `${exclusions}; ${reason}` : reason;
    const begun = Date.now();
    const note = (result: Attempted['result'], error = '', usage = NO_USAGE): void => {
      attempts.push({ row, result, error, usage, began: begun, ms: Date.now() - begun });
    };
    const failed = (error: EdgeError): Outcome<Answer> => {
      return { row, why, answer: null, choices: [], error, degraded: '' };
    };
    try {
      const check = row.via === 'origin' ? null : making.check; // the gateway checks by itself
      const opened = open(row, chat, asker, unmasker);
      const held = holdS !== undefined || check !== null;
      const work = held ? within(holdS ?? row.timeoutS, row, hold(opened)) : opened;
      const { answer, choices, usage } = await work;
      const used = usage ?? estimateUsage(choices, making.promptTokens + more);
      const broken = check && violationOf(check, answer, choices);
      note('answered', broken ? 'invalid_output' : '', used);
      if (!broken) return { row, why, answer, choices, error: null, degraded: '' };
      if (!making.repaired && !unmasker) {
        making.repaired = true;
        const again = `${row.name} violated the schema (${broken.rule}); retried once`;
        const second = await attempt(repaired(asked, broken), tokensOf(broken), row, again, holdS);
        if (!second.error) return second;
      }
      const words = `the answer of ${row.name} does not match the requested JSON schema: ${broken.words}`;
      const param = { param: 'response_format' };
      return failed(new EdgeError('invalid_output', words, 'simplify the schema, or use a larger model', param));
    } catch (fault) {
      if (!(fault instanceof EdgeError)) throw fault;
      note('failed', fault.code);
      return failed(fault);
    }
  };
  return (row, reason, holdS) => attempt(making.chat, 0, row, reason, holdS);
}

/** The first of any choice. One that calls a tool, refuses or was cut off is not checked. */
function violationOf(check: SchemaCheck, answer: Answer, choices: Choice[]): (Violation & { text: string }) | null {
  const wire = answer.kind === 'whole' ? [answer.reply.body] : (answer.held ?? []).map((each) => each.payload);
  if (wire.some((each) => REFUSAL.test(each))) return null;
  for (const { text, calls, finish } of choices) {
    if (calls.length || finish === 'length' || finish === 'content_filter') continue;
    const found = check(text);
    if (found) return { ...found, text };
  }
  return null;
}

/** What a repair adds to a prompt, estimated. */
function tokensOf({ text, words }: Violation & { text: string }): number {
  return Math.floor(([...text].length + [...words].length + REPAIR_PROMPT.length) / BYTES_PER_TOKEN);
}

/** The chat, followed by the answer and how it breaks the schema. */
function repaired(chat: Chat, { text, words }: Violation & { text: string }): Chat {
  const more = repairMessages(text, words);
  const messages = [...chat.messages, ...more];
  const said = readJson(chat.raw.get('messages') ?? '[]') as unknown[];
  return { ...chat, messages, raw: new Map(chat.raw).set('messages', writeJson([...said, ...more])) };
}

interface Made {
  answer: Answer;
  choices: Choice[];
  usage: Usage | null;
}

async function open(row: Row, chat: Chat, asker: Asker, unmasker: Unmasker | null): Promise<Made> {
  if (chat.stream) {
    const started = await askStream(row, chat, asker);
    const restore = unmasker && new StreamUnmasker(unmasker);
    return { answer: { kind: 'stream', started, held: null, restore }, choices: [], usage: NO_USAGE };
  }
  const said = await askWhole(row, chat, asker);
  const reply = unmasker ? unmasked(said, unmasker) : said;
  return { answer: { kind: 'whole', reply }, choices: reply.choices, usage: reply.usage };
}

function unmasked(reply: Reply, unmasker: Unmasker): Reply {
  const before = readJson(reply.body);
  const after = unmasker.value(before);
  return after === before ? reply : readReply(writeJson(after));
}

/** As `opened`, but a stream is complete before anything of it is shown. */
async function hold(opened: Promise<Made>): Promise<Made> {
  const made = await opened;
  if (made.answer.kind === 'whole') return made;
  const { started } = made.answer;
  const held = [...started.first];
  for await (const frames of started.rest()) held.push(...frames);
  const choices = [...started.reader.choices.values()];
  return { answer: { ...made.answer, held }, choices, usage: started.reader.usage };
}

async function within<T>(seconds: number, row: Row, work: Promise<T>): Promise<T> {
  let clock: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    clock = setTimeout(() => {
      reject(new EdgeError('upstream_timeout', `${row.name} did not answer in ${seconds} s`, 'try again later'));
    }, seconds * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(clock);
  }
}

/** Pico-dollars of all attempts; null: one of them is unknown. */
export function totalCost(attempts: Attempted[]): number | null {
  let total = 0;
  for (const each of attempts) {
    const cost = each.result === 'failed' ? 0 : costOf(each.row, each.usage);
    if (cost === null) return null;
    total += cost;
  }
  return total;
}
