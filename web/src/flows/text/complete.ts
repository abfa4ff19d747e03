// What can be written at a place of a flow: names in scope with their types, kinds, parameters; pure.
import { fieldsOf, typeWords } from '../document/flow';
import type { Graph } from '../editing.svelte';
import type { FlowVocabulary } from '../queries';

export interface Suggestion {
  label: string;
  detail: string;
  info?: string;
  /** Put in place of what is written from `from` on. */
  apply?: string;
}
export interface Suggested {
  from: number;
  options: Suggestion[];
}
export interface Scope {
  graph: Graph;
  data: unknown;
  vocabulary: FlowVocabulary;
}
type Dict = Record<string, unknown>;

const TOP = ['name', 'description', 'inputs', 'nodes', 'outputs', 'triggers'];
const EVERY: [string, string][] = [
  ['kind', 'the type of the node'],
  ['after', 'nodes or cases that run before'],
  ['retry', '{times, wait_s}'],
  ['timeout_s', 'number'],
  ['description', 'for people'],
];

export function suggest(text: string, at: number, scope: Scope): Suggested | null {
  const line = text.slice(text.lastIndexOf('\n', at - 1) + 1, at);
  const open = text.lastIndexOf('{{', at);
  if (open >= 0 && text.lastIndexOf('}}', at - 1) < open && at - open < 2_000) return inExpression(text, at, scope);
  const keys = keysAt(text, at);
  const value = /^\s*(?:- )?([\w.-]+):\s+("?)([^"#]*)$/.exec(line);
  if (value) return ofValue(at - (value[3] ?? '').length, value[1] ?? '', keys, scope);
  const key = /^(\s*)([\w-]*)$/.exec(line);
  return key ? ofKey(at - (key[2] ?? '').length, keys, text, scope) : null;
}

/** The keys that the line at `at` stands under, from the outermost; by indentation, so that broken text has some too. */
export function keysAt(text: string, at: number): string[] {
  const begin = text.lastIndexOf('\n', at - 1) + 1;
  const own = text.slice(begin, at);
  let indent = own.trim() === '' ? own.length : own.search(/\S/);
  const keys: string[] = [];
  const lines = text.slice(0, begin).split('\n');
  for (let number = lines.length - 1; number >= 0 && indent > 0; number -= 1) {
    const found = /^(\s*)(?:- )?("?)([^\s:#"][^:#"]*)\2:(?:\s|$)/.exec(lines[number] ?? '');
    if (!found || (found[1] ?? '').length >= indent) continue;
    indent = (found[1] ?? '').length;
    keys.unshift(found[3] ?? '');
  }
  return keys;
}

/** The node that the keys lead to: the last one behind a `nodes`. */
export function nodeOf(keys: readonly string[]): { id: string; rest: string[] } | null {
  const last = keys.lastIndexOf('nodes');
  const id = keys[last + 1];
  return last < 0 || id === undefined ? null : { id, rest: keys.slice(last + 2) };
}

/** Nodes that `id` may use without a circle: of its own level, or of one around it. */
export function upstream(graph: Graph, id: string): Graph['nodes'] {
  const parents = new Map(graph.nodes.map((each) => [each.id, each.parent]));
  const around = new Set<string>(['']);
  const frames = new Set<string>([id]);
  for (let each = parents.get(id) ?? ''; each !== ''; each = parents.get(each) ?? '') {
    around.add(each);
    frames.add(each);
  }
  const next = new Map<string, string[]>();
  for (const edge of graph.edges) next.set(edge.from, [...(next.get(edge.from) ?? []), edge.to]);
  const behind = new Set(frames);
  const open = [...frames];
  for (let each = open.pop(); each !== undefined; each = open.pop())
    for (const to of next.get(each) ?? [])
      if (to !== '' && !behind.has(to)) {
        behind.add(to);
        open.push(to);
      }
  return graph.nodes.filter((each) => around.has(each.parent) && !behind.has(each.id));
}

function inExpression(text: string, at: number, scope: Scope): Suggested | null {
  const said = text.slice(text.lastIndexOf('{{', at) + 2, at);
  const filter = /\|\s*([\w]*)$/.exec(said);
  if (filter) {
    const options = scope.vocabulary.flowFilters.map((each) => ({
      label: each.name,
      detail: each.inputs.map(typeWords).join(', '),
      info: each.description,
    }));
    return { from: at - (filter[1] ?? '').length, options };
  }
  const written = /([A-Za-z][\w-]*(?:\.[\w-]*)*|)$/.exec(said)?.[1] ?? '';
  const id = nodeOf(keysAt(text, at))?.id ?? '';
  return { from: at - written.length, options: references(scope, id) };
}

/** All that the node `id` may refer to, with types; of the flow's outputs: all nodes. */
export function references({ graph, data, vocabulary }: Scope, id: string): Suggestion[] {
  void vocabulary;
  const inputs = Object.entries(((data as Dict | null)?.['inputs'] ?? {}) as Dict).map(([name, type]) => ({
    label: `inputs.${name}`,
    detail: typeWords((type as Dict | null)?.['type'] ?? type),
  }));
  const found: Suggestion[] = [];
  for (const node of id === '' ? graph.nodes.filter((each) => each.parent === '') : upstream(graph, id)) {
    const fields = fieldsOf(node.outputs);
    if (fields.length === 0) found.push({ label: node.id, detail: typeWords(node.outputs) });
    for (const [name, type] of fields) found.push({ label: `${node.id}.${name}`, detail: typeWords(type) });
  }
  const own: Suggestion[] = [];
  const byId = new Map(graph.nodes.map((each) => [each.id, each]));
  for (let frame = byId.get(byId.get(id)?.parent ?? ''); frame; frame = byId.get(frame.parent)) {
    if (frame.kind === 'loop') own.push({ label: 'loop.round', detail: 'integer' });
    if (frame.kind === 'each') own.push({ label: itemName(data, frame.path), detail: 'the item' });
  }
  return [...own, ...inputs, ...found];
}

function itemName(data: unknown, path: readonly unknown[]): string {
  const node = path.reduce<unknown>(
    (value, key) => (value as Dict | null | undefined)?.[String(key)],
    data,
  ) as Dict | null;
  const name = node?.['name'];
  return typeof name === 'string' ? name : 'item';
}

function ofValue(from: number, key: string, keys: readonly string[], { graph, vocabulary }: Scope): Suggested | null {
  const node = nodeOf(keys);
  const named = (names: readonly string[], detail: string): Suggested => ({
    from,
    options: names.map((label) => ({ label, detail })),
  });
  if (node && node.rest.length === 0) {
    if (key === 'kind')
      return {
        from,
        options: vocabulary.nodeKinds.map((each) => ({ label: each.name, detail: 'kind', info: each.description })),
      };
    const known = graph.nodes.find((each) => each.id === node.id);
    if (key === 'after') {
      const before = upstream(graph, node.id).filter((each) => each.parent === known?.parent);
      return named(
        before.flatMap((each) => [each.id, ...each.cases.map((one) => `${each.id}.${one}`)]),
        'comes before',
      );
    }
    const parameter = vocabulary.nodeKinds
      .find((each) => each.name === known?.kind)
      ?.parameters.find((each) => each.name === key);
    if (parameter?.names) {
      const all = vocabulary.flowNames[parameter.names as keyof typeof vocabulary.flowNames] ?? [];
      return named(parameter.names === 'models' ? ['auto', 'small', 'large', ...all] : all, parameter.names);
    }
    if (parameter && typeWords(parameter.type) === 'boolean') return named(['true', 'false'], key);
  }
  if (keys.length > 0 && keys[0] === 'inputs')
    return named(['text', 'number', 'integer', 'boolean', 'object', 'json', 'file'], 'type');
  return null;
}

function ofKey(from: number, keys: readonly string[], text: string, { graph, vocabulary }: Scope): Suggested | null {
  const pairs = (all: [string, string, string?][]): Suggested => ({
    from,
    options: all.map(([label, detail, info]) => ({ label, detail, apply: `${label}: `, ...(info ? { info } : {}) })),
  });
  if (keys.length === 0)
    return pairs(TOP.filter((each) => !new RegExp(`^${each}:`, 'm').test(text)).map((each) => [each, '']));
  const node = nodeOf(keys);
  if (!node || node.rest.length > 0) return null;
  const kind = vocabulary.nodeKinds.find((each) => each.name === graph.nodes.find((one) => one.id === node.id)?.kind);
  const own = (kind?.parameters ?? []).map((each): [string, string] => [
    each.name,
    typeWords(each.type) + (each.required ? ', required' : ''),
  ]);
  return pairs([...own, ...EVERY]);
}
