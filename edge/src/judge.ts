// The gateway's rule judge: empty, refused, looping or malformed answers. That it finds nothing does not mean good.

import type { Chat } from './chat.js';
import type { Choice } from './reply.js';

const OPENING = 200;
const MIN_LOOP_WORDS = 40;
const MIN_UNIQUE_SHARE = 0.4;

const REFUSALS = new RegExp(
  [
    String.raw`\bi(?:'m| am) (?:sorry|afraid)\b[^.!?]{0,40}\b(?:can't|cannot|can not|couldn't|unable|don't|not able)\b`,
    String.raw`\bi(?:'m| am) unable to\b`,
    String.raw`\bi (?:can't|cannot|can not|couldn't|could not) (?:help|assist|answer|do that|provide|fulfill?|comply)\b`,
    String.raw`\bas an? (?:ai\b|(?:large )?language model)`,
    String.raw`\bi(?:'m| am) (?:just |only )?an? (?:ai\b|(?:large )?language model)`,
  ].join('|'),
  'i',
);
const NON_ANSWERS =
  /\b(?:i (?:do not|don't|really don't) (?:know|have (?:access|enough|any information|the information))|i(?:'m| am) not (?:sure|certain|able)|i have no (?:idea|information|way))/i;
const TOOL_CALL_TEXT = /<tool_call>|<function=|"(?:arguments|parameters)"\s*:\s*[{"]/;

/** What is wrong with this answer, as a sentence; empty if nothing is. */
export function findProblem(chat: Chat, choice: Choice): string {
  const text = choice.text.trim();
  if (choice.calls.length) return problemOfCalls(choice);
  if (!text) return 'the reply is empty';
  if (choice.finish === 'length' && chat.maxTokens === null) return "the reply was cut off at the model's own limit";
  if (choice.finish === 'content_filter') return 'a content filter withheld the reply';
  if (chat.schema && !isJson(text)) return 'the request asked for JSON, and the reply is not JSON';
  if (chat.tools && TOOL_CALL_TEXT.test(text)) return 'the reply writes a tool call as plain text';
  const opening = [...text.slice(0, 2 * OPENING)].slice(0, OPENING).join('').replaceAll('’', "'");
  if (REFUSALS.test(opening)) return 'the reply is a refusal';
  if (NON_ANSWERS.test(opening)) return 'the reply says that the model does not know';
  return loops(text) ? 'the reply repeats itself' : '';
}

function problemOfCalls({ calls }: Choice): string {
  for (const call of calls) {
    if (call.type !== 'function') continue;
    if (!call.name) return 'a tool call names no function';
    const given = call.arguments || '{}';
    if (!given.trimStart().startsWith('{') || !isJson(given)) return "a tool call's arguments are not a JSON object";
  }
  return '';
}

function loops(text: string): boolean {
  const words = text.split(/\s+/);
  if (words.length < MIN_LOOP_WORDS) return text.length > 200 && new Set(text).size < 8;
  const runs = words.slice(3).map((_, place) => words.slice(place, place + 4).join(' '));
  return new Set(runs).size < MIN_UNIQUE_SHARE * runs.length;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
