// A flow from words: a model writes YAML, the server checks it, and what it found goes back; at most three rounds.
import { ask } from '../api/graphql';
import { listen } from '../api/live';
import { typeWords } from './document/flow';
import { flowCheckDocument, flowWriteDocument, type Finding, type FlowVocabulary } from './queries';

const ROUNDS = 3;
const LONGEST_TEXT = 20_000;

export interface Drafted {
  text: string;
  findings: Finding[];
  rounds: number;
  model: string;
}

const EXAMPLE = `name: support
description: Answers from the handbook; refunds are handed over.
inputs:
  question: text
nodes:
  about:
    kind: classify
    text: "{{ inputs.question }}"
    labels: {refund: the customer wants money back, other: everything else}
  route:
    kind: branch
    value: "{{ about.label }}"
    cases: [refund]
  hand_over:
    kind: template
    after: route.refund
    text: A person will answer you.
  reply:
    kind: ask
    after: route.else
    model: auto
    prompt: "{{ inputs.question }}"
outputs:
  answer: "{{ reply.text or hand_over.text }}"
`;

/** The kinds of nodes with their parameters, as a model needs them. */
export function reference(vocabulary: FlowVocabulary): string {
  const kinds = vocabulary.nodeKinds.map((kind) => {
    const parameters = kind.parameters
      .filter((each) => each.required || ['model', 'prompt', 'system', 'limit', 'value'].includes(each.name))
      .map((each) => `${each.name}: ${typeWords(each.type)}${each.required ? '' : '?'}`);
    return `- ${kind.name}: ${kind.description} {${parameters.join(', ')}}`;
  });
  const knowledge = vocabulary.flowNames.knowledge;
  return `Kinds of nodes:\n${kinds.join('\n')}\nKnowledge bases: ${knowledge.join(', ') || 'none'}\nAn example:\n${EXAMPLE}`;
}

/** The YAML of an answer: in a fence or bare. */
export function yamlOf(answer: string): string {
  const fenced = /```(?:ya?ml)?[ \t]*\r?\n([\s\S]*?)(?:```|$)/.exec(answer)?.[1];
  const text = fenced ?? answer;
  const begins = text.search(/^(?:#.*\n)*name:/m);
  return `${text.slice(Math.max(0, begins)).trimEnd()}\n`;
}

interface Asked {
  name: string;
  words: string;
  model: string;
  /** What it is made from; empty: a new flow. */
  before: string;
  vocabulary: FlowVocabulary;
}

/** Calls `told` with each piece as it streams. Throws Failure; an abort ends it. */
export async function draft(
  asked: Asked,
  told: (round: number, text: string) => void,
  signal: AbortSignal,
): Promise<Drafted | null> {
  let drafted: Drafted | null = null;
  for (let round = 1; round <= ROUNDS && !signal.aborted; round += 1) {
    let answer = '';
    let model = '';
    const prompt = promptOf(asked, drafted);
    await listen(
      flowWriteDocument,
      { prompt, model: asked.model },
      ({ ask: chunk }) => {
        answer += chunk.text;
        model = chunk.answer?.model ?? model;
        told(round, answer);
      },
      signal,
    );
    if (signal.aborted) return null;
    const text = yamlOf(answer)
      .slice(0, LONGEST_TEXT)
      .replace(/^name:.*$/m, `name: ${asked.name}`);
    const { checkFlow } = await ask(flowCheckDocument, { text }, signal);
    drafted = { text, findings: checkFlow.findings, rounds: round, model };
    if (checkFlow.valid) break;
  }
  return drafted;
}

function promptOf({ name, words, before, vocabulary }: Asked, last: Drafted | null): string {
  const parts = [
    `Write a flow as YAML. Answer with the whole YAML file alone, in one fence. Its name is ${name}.`,
    reference(vocabulary),
  ];
  if (before) parts.push(`Change this flow, and leave the rest as it is:\n${before}`);
  parts.push(`What it must do: ${words}`);
  if (last) {
    const found = last.findings.map((each) => `line ${each.line}: ${each.message} ${each.hint}`).slice(0, 12);
    parts.push(`Your last answer was:\n${last.text}\nIt has these mistakes, correct them:\n${found.join('\n')}`);
  }
  return parts.join('\n\n');
}
