// The first steps, and which of them are done; null: not known to this person, so the step is left out; pure.

export interface Step {
  title: string;
  text: string;
  done: boolean;
  command?: string;
  href?: string;
}

export interface Known {
  keys: number | null;
  models: readonly { size: string }[] | null;
  flows: number | null;
  documents: number | null;
  requests: number | null;
}

export function checklist(known: Known): Step[] {
  const steps: (Step | null)[] = [
    known.requests === null
      ? null
      : { title: 'Ask something', text: 'See who answers, and why.', href: '/play', done: known.requests > 0 },
    known.keys === null
      ? null
      : {
          title: 'Make a key for your program',
          text: 'It is shown once.',
          href: '/access/keys',
          done: known.keys > 0,
        },
    known.models === null
      ? null
      : {
          title: 'Add a larger model',
          text: 'A small model alone has nobody to ask when it is not sure. Add a provider, or fetch one with',
          command: 'sizewise models pull qwen2.5-coder-1.5b',
          done: known.models.length > 1,
        },
    known.documents === null
      ? null
      : {
          title: 'Add your documents',
          text: 'Drop a folder: flows and agents answer from it.',
          href: '/knowledge',
          done: known.documents > 0,
        },
    known.flows === null
      ? null
      : {
          title: 'Build an assistant',
          text: 'From a template or from words; your programs ask it by its name.',
          href: '/flows',
          done: known.flows > 0,
        },
  ];
  return steps.filter((each) => each !== null);
}
