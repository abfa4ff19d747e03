// What a person does to a flow, on the canvas, in the outline or by key: each one change of the text.
import { addNode, connectAfter, disconnectAfter, duplicate, get, rename, set, unset } from './document/edits';
import { fieldsOf, freshName, NAME, typeWords } from './document/flow';
import { offsetOf } from './document/places';
import { Refused, type Gesture, type Splice } from './document/splices';
import type { Path, Tree } from './document/tree';
import type { FlowEditing } from './editing.svelte';
import type { FlowEdge, FlowNode, FlowVocabulary } from './queries';

type Kind = FlowVocabulary['nodeKinds'][number];
type Parameter = Kind['parameters'][number];

/** What a required parameter begins with. */
function first(parameter: Parameter, names: FlowVocabulary['flowNames'], from: string): unknown {
  if (parameter.names) return (names[parameter.names as keyof typeof names] ?? [])[0] ?? '';
  const type = typeWords(parameter.type);
  if (type === 'text') return from;
  if (type === 'number' || type === 'integer') return 1;
  if (type === 'boolean') return false;
  if (type.startsWith('list')) return parameter.expression ? from : [];
  if (type === 'object' || type === 'map') return {};
  return from;
}

/** A node's text output, or its first field: what another node would use of it. */
export function mainReference(node: FlowNode | null): string {
  if (!node) return '';
  const fields = fieldsOf(node.outputs);
  const field = fields.find(([, type]) => type === 'text') ?? fields[0];
  return field ? `${node.id}.${field[0]}` : node.id;
}

/** A new node of a kind that can be run as it is, as far as that can be known. */
function body(kind: Kind, vocabulary: FlowVocabulary, reference: string): Record<string, unknown> {
  const from = reference ? `{{ ${reference} }}` : 'Write here.';
  const required = kind.parameters.filter((each) => each.required);
  const made = required.map((each) => [each.name, first(each, vocabulary.flowNames, from)] as [string, unknown]);
  const all: Record<string, unknown> = { kind: kind.name, ...Object.fromEntries(made) };
  if (kind.name === 'ask') Object.assign(all, { model: 'auto', prompt: from });
  if (kind.name === 'branch') Object.assign(all, { cases: { yes: '{{ true }}' } });
  if (kind.hasNodes)
    Object.assign(all, {
      nodes: { [`${kind.name}_step`]: { kind: 'template', text: 'Write here.' } },
      outputs: `{{ ${kind.name}_step.text }}`,
    });
  return all;
}

/** Adds a node of `kind` after the selected one, in its level. Returns its name. */
export function add(editing: FlowEditing, kind: string): string {
  const { vocabulary, graph } = editing;
  const known = vocabulary?.nodeKinds.find((each) => each.name === kind);
  if (!vocabulary || !known) return '';
  const near = editing.node(editing.selected);
  const nodes: Path = near ? (near.path.slice(0, -1) as Path) : ['nodes'];
  const taken = new Set(graph.nodes.map((each) => each.id));
  const id = freshName(taken, kind);
  const said = near ? mainReference(near) : firstInput(editing.document.current().data);
  const made = body(known, vocabulary, said);
  const inner = Object.keys((made['nodes'] as object | undefined) ?? {})[0];
  if (inner && taken.has(inner)) {
    const renamed = freshName(taken, inner);
    made['nodes'] = { [renamed]: { kind: 'template', text: 'Write here.' } };
    made['outputs'] = `{{ ${renamed}.text }}`;
  }
  if (!editing.perform((tree) => addNode(tree, nodes, id, made, near?.id), `${id} was added.`)) return '';
  editing.selected = id;
  return id;
}

function firstInput(data: unknown): string {
  const name = Object.keys((get(data, ['inputs']) as object | undefined) ?? {})[0];
  return name ? `inputs.${name}` : '';
}

/** Removes nodes, and each `after` that names them; references stay, and are found by the check. */
export function remove(editing: FlowEditing, id: string): void {
  const node = editing.node(id);
  if (!node) return;
  const path = node.path as Path;
  const named = editing.graph.edges.filter((each) => each.from === id && each.kind === 'order' && each.to !== id);
  const used = editing.graph.edges.filter((each) => each.from === id && each.kind !== 'order').length;
  const done = editing.perform(
    (tree) => {
      let all: Splice[] = [];
      let expected = (data: unknown): unknown => data;
      for (const edge of named) {
        const target = editing.node(edge.to);
        if (!target) continue;
        const one = disconnectAfter(tree, target.path as Path, edge.reference);
        const before = expected;
        all = [...all, ...one.splices];
        expected = (data) => one.expected(before(data));
      }
      const gone = unset(tree, path);
      return { splices: [...all, ...gone.splices], expected: (data) => gone.expected(expected(data)) };
    },
    used > 0
      ? `${id} was removed. It is still used in ${used} ${used === 1 ? 'place' : 'places'}.`
      : `${id} was removed.`,
  );
  if (done) editing.selected = '';
}

export function duplicateNode(editing: FlowEditing, id: string): void {
  const node = editing.node(id);
  if (!node) return;
  const taken = new Set(editing.graph.nodes.map((each) => each.id));
  if (editing.graph.nodes.some((each) => each.parent === id)) {
    editing.tell('A node that holds others is copied in the text: the names in it must be new.', true);
    return;
  }
  const fresh = freshName(taken, id);
  if (editing.perform((tree) => duplicate(tree, node.path as Path, fresh), `${fresh} is a copy of ${id}.`))
    editing.selected = fresh;
}

/** Renames a node in each place that the server named. */
export async function renameNode(editing: FlowEditing, id: string, to: string): Promise<boolean> {
  if (!NAME.test(to)) {
    editing.tell('A name begins with a letter; then letters, digits, _ and -.', true);
    return false;
  }
  if (editing.graph.nodes.some((each) => each.id === to)) {
    editing.tell(`There is a node ${to} already.`, true);
    return false;
  }
  await editing.check();
  const node = editing.node(id);
  if (!node || editing.checked !== editing.document.text) return false;
  const done = editing.perform(
    (tree) => rename(tree, node.path as Path, to, places(editing, tree, id, to)),
    `${id} is called ${to} now.`,
  );
  if (done) editing.selected = to;
  return done;
}

function places(editing: FlowEditing, tree: Tree, id: string, to: string): Splice[] {
  const found = new Map<number, Splice>();
  for (const edge of editing.graph.edges.filter((each) => each.from === id)) {
    const from = offsetOf(tree.text, edge.line, edge.column);
    if (tree.text.startsWith(id, from)) found.set(from, { from, to: from + id.length, insert: to });
  }
  return [...found.values()];
}

export function after(editing: FlowEditing, target: string, source: string): void {
  const node = editing.node(target);
  if (node)
    editing.perform((tree) => connectAfter(tree, node.path as Path, source), `${target} comes after ${source}.`);
}

/** Puts `{{ reference }}` into a parameter: behind what it says. */
export function use(editing: FlowEditing, target: string, parameter: string, reference: string): void {
  const node = editing.node(target);
  if (!node) return;
  const path = [...(node.path as Path), parameter];
  editing.perform((tree) => {
    const said = get(tree.data, path);
    const expression = `{{ ${reference} }}`;
    const text = typeof said === 'string' && said.trim() !== '' && said !== 'Write here.';
    return set(tree, path, text ? `${said}${said.includes('\n') ? '\n' : ' '}${expression}` : expression);
  }, `${target} uses ${reference} in ${parameter}.`);
}

/** The ways to take an edge away. */
export function disconnect(editing: FlowEditing, edge: FlowEdge, way: 'cut' | 'default'): void {
  const node = editing.node(edge.to);
  if (edge.kind === 'order' && node) {
    editing.perform(
      (tree) => disconnectAfter(tree, node.path as Path, edge.reference),
      `${edge.to} no longer comes after ${edge.reference}.`,
    );
    return;
  }
  editing.perform(
    (tree) => atExpression(tree, edge, way),
    way === 'cut' ? 'The expression was removed.' : 'It may be missing now.',
  );
}

function atExpression(tree: Tree, edge: FlowEdge, way: 'cut' | 'default'): Gesture {
  const at = offsetOf(tree.text, edge.line, edge.column);
  const from = tree.text.lastIndexOf('{{', at);
  const close = tree.text.indexOf('}}', at);
  if (from < 0 || close < 0) throw new Refused('The expression was not found. Change it in the text.');
  const path = edge.path as Path;
  const whole = get(tree.data, path);
  const source = tree.text.slice(from, close + 2);
  if (typeof whole !== 'string' || !whole.includes(source))
    throw new Refused('The text writes this expression in its own way. Change it there.');
  const put = way === 'cut' ? '' : `${source.slice(0, -2).trimEnd()} | default('') }}`;
  if (way === 'cut' && whole.trim() === source.trim() && path.at(-2) !== 'outputs') return unset(tree, path);
  return set(tree, path, whole.replace(source, put).trim());
}

/** Parameters of a node that can hold an expression; those that fit a text first. */
export function openFields(editing: FlowEditing, id: string): Parameter[] {
  const node = editing.node(id);
  const kind = editing.vocabulary?.nodeKinds.find((each) => each.name === node?.kind);
  const fits = (each: Parameter): number =>
    ['prompt', 'query', 'text', 'value'].includes(each.name) ? 0 : each.required ? 1 : 2;
  return (kind?.parameters ?? []).filter((each) => each.expression).sort((a, b) => fits(a) - fits(b));
}
