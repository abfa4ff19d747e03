// /v1/decisions: each question of a decision is a chat of its own, and the answers come in the order of the questions.

import { planOf, totalCost, type Attempted, type Question as Chatting } from './answering.js';
import type { Caller as Asker } from './attempt.js';
import { dollars } from './candidates.js';
import { readChat } from './chat.js';
import { chatResponse, type Finished } from './chat_door.js';
import { answerOf, chatBody, repairBody, violation, type Decision, type Question } from './decisions.js';
import type { ChatUsage } from './door.js';
import { EdgeError } from './errors.js';
import type { Caller } from './keys.js';
import type { RequestOptions } from './options.js';
import type { Release } from './release.js';

const QUESTIONS_AT_ONCE = 4;
/** Finish reasons of an answer that was cut: it is not asked again. */
const CUT = ['length', 'content_filter'];

export interface Deciding {
  release: Release;
  decision: Decision;
  caller: Caller;
  options: RequestOptions;
  asker: Asker;
}

/** A question with the chat that asks it. */
export interface Asked {
  question: Question;
  body: string;
}

interface Reply {
  choices: [{ message: { content: string | null; refusal?: string | null }; finish_reason: string | null }];
  usage?: ChatUsage;
}

/** What is asked; null: the model is asked at the gateway. Throws model_not_found, forbidden. */
export async function askedOf({ release, decision, caller, options }: Deciding): Promise<Asked[] | null> {
  const { model, text, questions } = decision;
  const asked = await Promise.all(
    questions.map(async (question) => ({ question, body: await chatBody(question, model, text) })),
  );
  const goesHome = asked.some(({ body }) => planOf(release, readChat(body), caller, options).kind === 'origin');
  return goesHome ? null : asked;
}

/** `onEnd`: once for each chat. The first error ends the others, and is the answer. */
export async function decide(
  deciding: Deciding,
  asked: Asked[],
  trace: string,
  onEnd: (chatting: Chatting, finished: Finished) => void,
): Promise<Response> {
  const { release, caller, options } = deciding;
  const failed = new AbortController();
  const asker = { ...deciding.asker, signal: AbortSignal.any([deciding.asker.signal, failed.signal]) };
  const attempts: Attempted[] = [];
  const usages: (ChatUsage | undefined)[] = [];
  const chat = async (body: string): Promise<{ reply: Reply; headers: Headers }> => {
    const chatting = { chat: readChat(body), caller, options, asker, check: null };
    const answer = await chatResponse(release, chatting, trace, (finished) => {
      attempts.push(...finished.attempts);
      onEnd(chatting, finished);
    });
    return { reply: await answer.json(), headers: answer.headers };
  };
  /** Asks once more where the answer is none of those that are allowed. */
  const ask = async ({ question, body }: Asked): Promise<{ said: string; headers: Headers }> => {
    let { reply, headers } = await chat(body);
    let wrong = wrongOf(question, reply);
    if (wrong) {
      ({ reply, headers } = await chat(repairBody(body, saidBy(reply), wrong)));
      wrong = wrongOf(question, reply);
    }
    usages.push(reply.usage);
    if (!wrong) return { said: saidBy(reply), headers };
    const words = `the answer of ${headers.get('x-sizewise-model')} does not match the requested JSON schema: ${wrong}`;
    const hint = 'simplify the schema, or use a larger model';
    throw new EdgeError('invalid_output', words, hint, { param: 'response_format' });
  };
  const answers: { said: string; headers: Headers }[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let at = next++; at < asked.length && !failed.signal.aborted; at = next++)
      answers[at] = await ask(asked[at] as Asked);
  };
  const cost = (): string => dollars(totalCost(attempts));
  try {
    await Promise.all(Array.from({ length: Math.min(QUESTIONS_AT_ONCE, asked.length) }, work));
  } catch (fault) {
    failed.abort();
    if (fault instanceof EdgeError) {
      fault.headers['x-sizewise-cost-usd'] = cost();
      if (attempts.length > 1) fault.headers['x-sizewise-attempts'] = `${attempts.length}`;
    }
    throw fault;
  }
  const headers = new Headers(answers[0]?.headers);
  headers.set('x-sizewise-cost-usd', cost());
  const shown = {
    answers: asked.map(({ question }, at) => answerOf(question, answers[at]?.said ?? '')),
    model: headers.get('x-sizewise-model') ?? deciding.decision.model,
    usage: usageOf(usages),
    sizewise: { rungs: asked.map(() => 'large') },
  };
  return Response.json(shown, { headers });
}

const saidBy = (reply: Reply): string => reply.choices[0].message.content ?? '';

function wrongOf(question: Question, reply: Reply): string {
  const [{ message, finish_reason: finish }] = reply.choices;
  return message.refusal || CUT.includes(finish ?? '') ? '' : violation(question, saidBy(reply));
}

function usageOf(each: (ChatUsage | undefined)[]): object {
  const sum = (of: (usage: ChatUsage) => number | undefined): number =>
    each.reduce((total, usage) => total + ((usage && of(usage)) ?? 0), 0);
  const [input, output] = [sum((its) => its.prompt_tokens), sum((its) => its.completion_tokens)];
  return {
    input_tokens: input,
    input_tokens_details: {
      cached_tokens: sum((its) => its.prompt_tokens_details?.cached_tokens),
      cache_write_tokens: 0,
    },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: sum((its) => its.completion_tokens_details?.reasoning_tokens) },
    total_tokens: input + output,
  };
}
