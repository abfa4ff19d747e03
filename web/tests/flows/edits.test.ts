// Each gesture changes what it says and nothing else: 20,000 random ones on flows written in many ways.
import { describe, expect, it } from 'vitest';
import {
  addNode,
  connectAfter,
  disconnectAfter,
  duplicate,
  get,
  rename,
  set,
  unset,
} from '../../src/flows/document/edits';
import { FlowDocument } from '../../src/flows/document/doc.svelte';
import { apply, inverse, perform, Refused, type Gesture, type Splice } from '../../src/flows/document/splices';
import { readTree, type Path, type Tree } from '../../src/flows/document/tree';
import { flow, Random, VALUES } from './random';

const GESTURES = 20_000;
const MINUTES = 5 * 60_000;

type Nodes = Record<string, Record<string, unknown>>;

/** Each mapping of nodes: that of the flow, and those within its nodes. */
function levelsOf(nodes: Nodes, path: Path = ['nodes']): { path: Path; nodes: Nodes }[] {
  const inner = Object.entries(nodes).flatMap(([id, body]) =>
    body?.['nodes'] && typeof body['nodes'] === 'object' && !Array.isArray(body['nodes'])
      ? levelsOf(body['nodes'] as Nodes, [...path, id, 'nodes'])
      : [],
  );
  return [{ path, nodes }, ...inner];
}

/** The places that name `id`, as the server tells them. */
function placesOf(text: string, id: string, to: string): Splice[] {
  const name = id.replace(/-/g, '\\-');
  const found = [...text.matchAll(new RegExp(`(\\{\\{ |after: |after: \\[|, |- )(${name})(?=[.\\],\\s}]|$)`, 'gm'))];
  return found
    .filter(
      (each) =>
        each[1] === '{{ ' ||
        /after:[^\n]*$|after:(?:[^\n]*\n *- [^\n]*)*\n *$/.test(text.slice(0, each.index + 1).replace(/- $/, '')) ||
        each[1]?.startsWith('after'),
    )
    .map((each) => {
      const from = each.index + (each[1]?.length ?? 0);
      return { from, to: from + id.length, insert: to };
    });
}

function gesture(random: Random, tree: Tree, number: number): Gesture {
  const level = random.of(levelsOf(((tree.data as Record<string, unknown>)['nodes'] ?? {}) as Nodes));
  const { nodes } = level;
  const ids = Object.keys(nodes);
  const id = ids.length > 0 ? random.of(ids) : '';
  const path: Path = [...level.path, id];
  const fresh = `n${number}`;
  const chosen = ids.length === 0 ? 0 : random.below(10);
  if (chosen === 0)
    return addNode(
      tree,
      level.path,
      fresh,
      { kind: 'ask', prompt: random.of(VALUES) },
      random.chance(0.5) ? id : undefined,
    );
  if (chosen === 1) return unset(tree, path);
  if (chosen === 2) return rename(tree, path, fresh, placesOf(tree.text, id, fresh));
  if (chosen === 3) return duplicate(tree, path, fresh);
  if (chosen === 4) return connectAfter(tree, path, random.of(ids));
  if (chosen === 5 && nodes[id]?.['after']) {
    const after = nodes[id]['after'];
    return disconnectAfter(tree, path, String(Array.isArray(after) ? random.of(after) : after));
  }
  if (chosen === 6) {
    const keys = Object.keys(nodes[id] ?? {}).filter((each) => each !== 'kind');
    if (keys.length > 0) return unset(tree, [...path, random.of(keys)]);
  }
  const keys = Object.keys(nodes[id] ?? {});
  return set(
    tree,
    [...path, random.chance(0.6) && keys.length > 0 ? random.of(keys) : `p${number}`],
    random.of(VALUES),
  );
}

/** The lines that are in `before` alone: those the gesture took away. */
function lost(before: string, after: string): string[] {
  const left = new Map<string, number>();
  for (const line of after.split('\n')) left.set(line, (left.get(line) ?? 0) + 1);
  return before.split('\n').filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  });
}

describe('gestures', () => {
  it(
    'change what they say, nothing else, and are undone and done again to the byte',
    () => {
      const random = new Random(29);
      let done = 0;
      let refused = 0;
      const why: string[] = [];
      while (done < GESTURES) {
        const start = flow(random).text;
        const windows = start.includes('\r\n');
        const open = new FlowDocument();
        open.open(start);
        expect(open.tree.wrong, start).toBeNull();
        const files = [start];
        for (let each = 0; each < 20 && done < GESTURES; each += 1, done += 1) {
          const tree = open.current();
          let asked: Gesture | null = null;
          try {
            open.perform((now) => (asked = gesture(random, now, done)));
            const { splices } = asked as unknown as Gesture;
            const touched = splices.reduce((sum, one) => sum + tree.text.slice(one.from, one.to).split('\n').length, 0);
            expect(lost(tree.text, open.text).length).toBeLessThanOrEqual(touched);
            expect(apply(open.text, inverse(tree.text, splices))).toBe(tree.text);
            if (windows) expect(open.file.replaceAll('\r\n', '')).not.toContain('\n');
            files.push(open.file);
          } catch (error) {
            if (!(error instanceof Refused)) throw error;
            refused += 1;
            const splices = (asked as Gesture | null)?.splices;
            if (splices && why.length < 8)
              why.push(`${tree.text}\n--->\n${apply(tree.text, splices)}\n${JSON.stringify(splices)}`);
          }
        }
        for (const file of files.slice(0, -1).reverse()) {
          open.undo();
          expect(open.file).toBe(file);
        }
        expect(open.undos).toBe(0);
        for (const file of files.slice(1)) {
          open.redo();
          expect(open.file).toBe(file);
        }
        expect(open.redos).toBe(0);
      }
      console.info(`${done} gestures, ${refused} refused`);
      if (process.env['WHY']) for (const each of why) console.info(each);
      expect(refused).toBeLessThan(GESTURES * 0.05);
    },
    MINUTES,
  );
});

describe('what a person would write', () => {
  const text = `name: support
nodes:
  find:
    kind: search
    query: "{{ inputs.question }}"   # as asked

  # Answers from what was found.
  reply:
    kind: ask
    prompt: "{{ find.passages }}"
outputs:
  answer: "{{ reply.text }}"
`;
  const done = (gesture: (tree: Tree) => Gesture): string => {
    const tree = readTree(text);
    return perform(tree, gesture(tree)).text;
  };

  it('puts `after` behind the kind', () => {
    expect(done((tree) => connectAfter(tree, ['nodes', 'reply'], 'find'))).toContain(
      '  reply:\n    kind: ask\n    after: find\n    prompt',
    );
  });

  it('adds a node behind the chosen one, with a blank line where others have one', () => {
    expect(done((tree) => addNode(tree, ['nodes'], 'note', { kind: 'template', text: 'Hi.' }, 'reply'))).toContain(
      '    prompt: "{{ find.passages }}"\n\n  note:\n    kind: template\n    text: Hi.\noutputs:',
    );
  });

  it('removes a node with its comment', () => {
    expect(done((tree) => unset(tree, ['nodes', 'reply']))).toBe(
      `name: support\nnodes:\n  find:\n    kind: search\n    query: "{{ inputs.question }}"   # as asked\n\noutputs:\n  answer: "{{ reply.text }}"\n`,
    );
  });

  it('keeps the quotes and the comment of a value', () => {
    expect(done((tree) => set(tree, ['nodes', 'find', 'query'], 'new words'))).toContain(
      'query: "new words"   # as asked\n',
    );
  });

  it('writes several lines as a block', () => {
    expect(done((tree) => set(tree, ['nodes', 'reply', 'prompt'], 'Answer:\n{{ find.passages }}'))).toContain(
      '    prompt: |-\n      Answer:\n      {{ find.passages }}\noutputs:',
    );
  });

  it('renames a node with its references', () => {
    const at = text.indexOf('find.passages');
    const renamed = done((tree) => rename(tree, ['nodes', 'find'], 'look', [{ from: at, to: at + 4, insert: 'look' }]));
    expect(renamed).toBe(text.replace('  find:', '  look:').replace('find.passages', 'look.passages'));
    expect(get(readTree(renamed).data, ['nodes', 'look', 'kind'])).toBe('search');
  });

  it('refuses text that is no YAML', () => {
    const broken = readTree('nodes: [');
    expect(() => perform(broken, { splices: [], expected: (data) => data })).toThrow(/line 1/);
  });
});
