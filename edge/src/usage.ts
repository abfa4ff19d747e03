// What an answer used and cost, by the usage that its model reports. An unknown price gives an unknown cost.

import { utf8Length } from './json.js';
import type { Price, Row } from './release.js';
import type { Choice } from './reply.js';

export interface Usage {
  input: number;
  output: number;
  cached: number;
  reasoning: number;
  /** The model reported none. */
  estimated: boolean;
}

export const NO_USAGE: Usage = { input: 0, output: 0, cached: 0, reasoning: 0, estimated: true };
const MOST = 1_000_000_000;

interface Reported {
  prompt_tokens?: unknown;
  completion_tokens?: unknown;
  total_tokens?: unknown;
  prompt_tokens_details?: { cached_tokens?: unknown } | null;
  completion_tokens_details?: { reasoning_tokens?: unknown } | null;
}

/** null: it reports no valid usage. Tokens of the total that neither side explains count as output. */
export function readUsage(body: unknown): Usage | null {
  const seen = body as Reported | null | undefined;
  if (typeof seen?.prompt_tokens !== 'number') return null;
  const input = seen.prompt_tokens;
  let output = count(seen.completion_tokens);
  let cached = count(seen.prompt_tokens_details?.cached_tokens);
  let reasoning = count(seen.completion_tokens_details?.reasoning_tokens);
  if (input < 0 || input > MOST || output < 0 || output > MOST || cached < 0 || reasoning < 0) return null;
  const beyond = count(seen.total_tokens) - input - output;
  if (beyond > 0) {
    output += beyond;
    reasoning = reasoning || beyond;
  }
  cached = Math.min(cached, input);
  reasoning = Math.min(reasoning, output);
  return { input, output, cached, reasoning, estimated: false };
}

export function writeUsage(usage: Usage): Record<string, unknown> {
  return {
    prompt_tokens: usage.input,
    completion_tokens: usage.output,
    total_tokens: usage.input + usage.output,
    prompt_tokens_details: { cached_tokens: usage.cached },
    completion_tokens_details: { reasoning_tokens: usage.reasoning },
  };
}

/** Of an answer whose model reports none: four bytes a token, as the gateway estimates. */
export function estimateUsage(choices: Choice[], promptTokens: number): Usage {
  const size = (each: Choice): number =>
    utf8Length(each.text) + each.calls.reduce((sum, call) => sum + utf8Length(call.name + call.arguments), 0);
  const output = Math.ceil(choices.reduce((sum, each) => sum + size(each), 0) / 4);
  return { ...NO_USAGE, input: promptTokens, output };
}

/** Pico-dollars; null: unknown. */
export function costOf(row: Row, usage: Usage): number | null {
  if (row.price.others.length) return null;
  return attemptCost(row.price, usage);
}

function attemptCost(price: Price, usage: Usage): number | null {
  for (const [tokens, dearer] of [...price.tiers].reverse()) {
    if (usage.input > tokens) return attemptCost(dearer, usage);
  }
  if ((price.input === null && usage.input) || (price.output === null && usage.output)) return null;
  const read = price.input ?? 0;
  const said = price.output ?? 0;
  return (
    (usage.input - usage.cached) * read +
    usage.cached * (price.cached ?? read) +
    (usage.output - usage.reasoning) * said +
    usage.reasoning * (price.reasoning ?? said) +
    (price.request ?? 0)
  );
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isInteger(value) ? value : 0;
}
