// What a new flow can begin with: the files in templates/, under the name that is wanted.

const files = import.meta.glob<string>('./templates/*.yaml', { query: '?raw', import: 'default', eager: true });
const TITLES: readonly [string, string, string][] = [
  ['small_then_large', 'Small, then large', 'A small model answers; a large one takes over where it is not sure.'],
  [
    'answer_with_citations',
    'Answer with citations',
    'Finds passages in a knowledge base, and answers from them alone.',
  ],
  ['classify_and_route', 'Classify and route', 'A small model sorts, and each sort goes its own way.'],
  ['each_over_a_list', 'Each of a list', 'The same for each item of a list, several at a time.'],
  ['approve_before_sending', 'Approve before sending', 'A draft waits in the inbox until a person agrees.'],
  ['blank', 'Blank', 'One question to one model.'],
];

export const templates = TITLES.map(([name, title, says]) => ({ name, title, says }));

/** The file of a template, called `name`; `knowledge`: a base that is there. */
export function textOf(template: string, name: string, knowledge = 'handbook'): string {
  const text = files[`./templates/${template}.yaml`] ?? '';
  return text.replace(/^name: .*$/m, `name: ${name}`).replace(/^( +knowledge: ).*$/gm, `$1${knowledge}`);
}
