// What each gesture changes in the text of a flow: splices, computed from the ranges of its YAML; prints no file anew.
import { printed, type Style } from './printed';
import { Refused, type Gesture, type Splice } from './splices';
import {
  columnOf,
  endOf,
  endOfEntry,
  entriesOf,
  find,
  indentStep,
  isAlias,
  isMap,
  isScalar,
  keyOf,
  lineEnd,
  lineStart,
  startOf,
  type Entry,
  type Node,
  type Path,
  type Tree,
  type YAMLMap,
} from './tree';

type Dict = Record<string, unknown>;

/** Puts `value` at `path`: in place of what is there, or as a new entry behind the last one. */
export function set(tree: Tree, path: Path, value: unknown): Gesture {
  const found = find(tree, path);
  const splices = found?.node ? replaced(tree, path, found.node, value) : added(tree, path, value);
  return { splices, expected: (data) => put(data, path, value) };
}

/** Removes the entry at `path`, with the comment directly above it. */
export function unset(tree: Tree, path: Path): Gesture {
  return { splices: removed(tree, path), expected: (data) => drop(data, path) };
}

/** Adds a node behind the node `behind`, or at the end of `nodes`. */
export function addNode(tree: Tree, nodes: Path, id: string, body: Dict, behind?: string): Gesture {
  const path = [...nodes, id];
  if (find(tree, path)) throw new Refused(`There is a node ${id} already.`);
  const expected = (data: unknown): unknown => put(data, path, body);
  const entries = entriesOf(find(tree, nodes)?.node ?? null);
  const near = entries.find((each) => keyOf(each) === behind) ?? entries.at(-1);
  const within = find(tree, nodes)?.node;
  if (!near || !isMap(within) || within.flow) return { splices: added(tree, path, body), expected };
  const { text } = tree;
  const indent = columnOf(text, startOf(near.key));
  const { lines } = printed(body, { quotes: 'plain', flow: false, indent, step: indentStep(tree) });
  const end = lineEnd(text, endOfEntry(text, near));
  const airy = entries.some(
    (each) => /\n[ \t]*\n$/.test(text.slice(0, commentStart(text, each))) && each !== entries[0],
  );
  const gap = airy || entries.length === 1 ? '\n' : '';
  return { splices: [{ from: end, to: end, insert: `${gap}\n${' '.repeat(indent)}${id}:${lines}` }], expected };
}

/** Writes the node at `path` once more, as `id`, behind itself; `inner`: names of nodes in it and their new names. */
export function duplicate(tree: Tree, path: Path, id: string): Gesture {
  const entry = find(tree, path)?.entry;
  const nodes = path.slice(0, -1);
  if (!entry?.value || find(tree, [...nodes, id])) throw new Refused('This node cannot be duplicated.');
  const { text } = tree;
  const from = lineStart(text, startOf(entry.key));
  const end = lineEnd(text, endOfEntry(text, entry));
  const key = startOf(entry.key);
  if (text.slice(from, key).trim() !== '') throw new Refused('This node stands on one line with others.');
  const body = text.slice(entry.key.range?.[1] ?? key, end);
  const insert = `\n\n${text.slice(from, key)}${id}${body}`;
  const value = get(tree.data, path);
  return { splices: [{ from: end, to: end, insert }], expected: (data) => put(data, [...nodes, id], value) };
}

/** Gives the key at `path` another name, and rewrites the places that name it. */
export function rename(tree: Tree, path: Path, to: string, places: readonly Splice[]): Gesture {
  const entry = find(tree, path)?.entry;
  if (!entry?.key.range) throw new Refused('This node has no name in the text.');
  if (find(tree, [...path.slice(0, -1), to])) throw new Refused(`There is a node ${to} already.`);
  const [from, end] = entry.key.range;
  const splices = [{ from, to: end, insert: to }, ...places];
  // Which words the places hold is the server's to say: the names of all entries are compared, and nothing else.
  return { splices, expected: (data) => renamed(tree, data, path, to, splices) };
}

function renamed(tree: Tree, data: unknown, path: Path, to: string, splices: readonly Splice[]): unknown {
  const within = get(data, path.slice(0, -1)) as Dict;
  const moved = Object.fromEntries(
    Object.entries(within).map(([key, value]) => [key === path.at(-1) ? to : key, value]),
  );
  return withPlaces(tree, put(data, path.slice(0, -1), moved), path, to, splices);
}

/** Replaces the words of the places in the data as well: each place lies in one scalar. */
function withPlaces(tree: Tree, data: unknown, path: Path, to: string, splices: readonly Splice[]): unknown {
  const old = String(path.at(-1));
  const word = new RegExp(`(^|[^\\w.-])${old.replace(/[-]/g, '\\$&')}(?![\\w-])`, 'g');
  const touched = new Set(splices.slice(1).map((each) => scalarAt(tree, each.from).join('\n')));
  const walk = (value: unknown, at: Path): unknown => {
    if (typeof value === 'string') return touched.has(at.join('\n')) ? value.replace(word, `$1${to}`) : value;
    if (Array.isArray(value)) return value.map((each, index) => walk(each, [...at, index]));
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => {
        const here = [...at, key];
        const was = here.length === path.length && here.slice(0, -1).join() === path.slice(0, -1).join() && key === to;
        return [key, walk(each, was ? path : here)];
      }),
    );
  };
  return walk(data, []);
}

function scalarAt(tree: Tree, at: number): Path {
  let node = tree.document.contents as Node | null;
  const path: (string | number)[] = [];
  while (node && !isScalar(node) && !isAlias(node)) {
    const items = (
      isMap(node) ? entriesOf(node).map((each) => each.value) : (node as never as { items: Node[] }).items
    ) as (Node | null)[];
    const index = items.findIndex((each) => each?.range && each.range[0] <= at && at < each.range[1]);
    if (index < 0) return path;
    path.push(isMap(node) ? keyOf(entriesOf(node)[index] as Entry) : index);
    node = items[index] ?? null;
  }
  return path;
}

/** The node at `path` comes after `source`: a node, or a case as `route.refund`. */
export function connectAfter(tree: Tree, path: Path, source: string): Gesture {
  const at = [...path, 'after'];
  const before = get(tree.data, at);
  const all = before === undefined || before === null ? [] : Array.isArray(before) ? before : [before];
  if (all.includes(source)) throw new Refused(`It comes after ${source} already.`);
  if (all.length > 0) return set(tree, at, [...all, source]);
  const kind = find(tree, [...path, 'kind']);
  if (!kind?.entry || kind.within?.flow || find(tree, at)) return set(tree, at, source);
  const { text } = tree;
  const end = lineEnd(text, endOfEntry(text, kind.entry));
  const insert = `\n${' '.repeat(columnOf(text, startOf(kind.entry.key)))}after: ${source}`;
  return { splices: [{ from: end, to: end, insert }], expected: (data) => put(data, at, source) };
}

export function disconnectAfter(tree: Tree, path: Path, source: string): Gesture {
  const at = [...path, 'after'];
  const before = get(tree.data, at);
  const left = Array.isArray(before) ? before.filter((each) => each !== source) : [];
  return left.length > 0 ? set(tree, at, left.length === 1 ? left[0] : left) : unset(tree, at);
}

// ---- the data, beside the text

export function get(data: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, key) => (value as Dict | null | undefined)?.[key as string], data);
}

function put(data: unknown, path: Path, value: unknown): unknown {
  if (path.length === 0) return value;
  const [key, ...rest] = path as [string, ...string[]];
  if (Array.isArray(data))
    return data.map((each: unknown, index) => (index === Number(key) ? put(each, rest, value) : each));
  return { ...(data as Dict | null), [key]: put((data as Dict | null)?.[key], rest, value) };
}

function drop(data: unknown, path: Path): unknown {
  const within = Object.entries(get(data, path.slice(0, -1)) as Dict).filter(([key]) => key !== String(path.at(-1)));
  return put(data, path.slice(0, -1), Object.fromEntries(within));
}

// ---- the text

function styleOf(tree: Tree, node: Node | null, indent: number, flow: boolean): Style {
  const type = isScalar(node) ? node.type : undefined;
  const quotes =
    type === 'QUOTE_DOUBLE'
      ? 'double'
      : type === 'QUOTE_SINGLE'
        ? 'single'
        : type?.startsWith('BLOCK')
          ? 'block'
          : 'plain';
  return { quotes, flow, indent, step: indentStep(tree) };
}

/** Whether `path` lies in a mapping or list that is written in { } or [ ]. */
function inFlow(tree: Tree, path: Path): boolean {
  return path.some(
    (_, length) => (find(tree, path.slice(0, length))?.node as { flow?: boolean } | null)?.flow === true,
  );
}

function replaced(tree: Tree, path: Path, node: Node, value: unknown): Splice[] {
  const { text } = tree;
  const holder = find(tree, path);
  const flow = inFlow(tree, path);
  const anchor = holder?.entry ? startOf(holder.entry.key) : startOf(node);
  const indent = columnOf(text, anchor);
  const { head, lines } = printed(value, styleOf(tree, node, indent, flow));
  const end = endOf(text, node);
  const block = isScalar(node) && node.type?.startsWith('BLOCK');
  const collection = !isScalar(node) && !isAlias(node) && (node as { flow?: boolean }).flow !== true;
  if (collection && holder?.entry) {
    // A block mapping or list: from behind the line of its key, so that a comment there stays.
    const from = lineStart(text, startOf(node));
    if (from <= anchor) return [{ from: startOf(node), to: end, insert: head || lines.trimStart() }];
    if (lines) return [{ from: from - 1, to: end, insert: lines }];
    const colon = holder.entry.key.range?.[1] ?? anchor;
    return [
      { from: colon + 1, to: colon + 1, insert: ` ${head}` },
      { from: from - 1, to: end, insert: '' },
    ];
  }
  if (!head) {
    const colon = (holder?.entry?.key.range?.[1] ?? startOf(node) - 1) + 1;
    const rest = lineEnd(text, end);
    return [
      { from: Math.min(colon, startOf(node)), to: end, insert: '' },
      { from: rest, to: rest, insert: lines },
    ];
  }
  const empty = startOf(node) === end ? ' ' : '';
  const comment = block
    ? /^[|>][-+\d]*([ \t]+#.*)/.exec(text.slice(startOf(node), lineEnd(text, startOf(node))))?.[1]
    : '';
  if (block || lines === '')
    return [{ from: startOf(node), to: end, insert: `${empty}${head}${comment ?? ''}${lines}` }];
  const rest = lineEnd(text, end);
  if (rest === end) return [{ from: startOf(node), to: end, insert: `${empty}${head}${lines}` }];
  return [
    { from: startOf(node), to: end, insert: `${empty}${head}` },
    { from: rest, to: rest, insert: lines },
  ];
}

function added(tree: Tree, path: Path, value: unknown): Splice[] {
  const { text } = tree;
  const key = String(path.at(-1));
  const holder = path.slice(0, -1);
  const found = find(tree, holder);
  if (!found && holder.length > 0) return added(tree, holder, { [key]: value });
  const node = found?.node ?? tree.document.contents;
  if (isMap(node) && (node.flow || inFlow(tree, holder))) return addedInFlow(tree, holder, node, key, value);
  const last = entriesOf(node as Node | null).at(-1);
  const step = indentStep(tree);
  if (last) {
    const indent = columnOf(text, startOf(last.key));
    const { head, lines } = printed(value, { quotes: 'plain', flow: false, indent, step });
    const end = lineEnd(text, endOfEntry(text, last));
    return [{ from: end, to: end, insert: `\n${' '.repeat(indent)}${key}:${head ? ` ${head}` : ''}${lines}` }];
  }
  if (!found?.entry) throw new Refused('Nothing can be added there.');
  const indent = columnOf(text, startOf(found.entry.key)) + step;
  const { head, lines } = printed(value, { quotes: 'plain', flow: false, indent, step });
  const end = lineEnd(text, found.entry.key.range?.[1] ?? 0);
  return [{ from: end, to: end, insert: `\n${' '.repeat(indent)}${key}:${head ? ` ${head}` : ''}${lines}` }];
}

function addedInFlow(tree: Tree, holder: Path, node: YAMLMap, key: string, value: unknown): Splice[] {
  const { text } = tree;
  const last = entriesOf(node).at(-1);
  const start = startOf(node);
  if (!last && !inFlow(tree, holder.slice(0, -1)) && holder.length > 0) {
    const entry = find(tree, holder)?.entry;
    const indent = columnOf(text, startOf(entry?.key ?? node));
    const { lines } = printed({ [key]: value }, { quotes: 'plain', flow: false, indent, step: indentStep(tree) });
    const end = lineEnd(text, endOf(text, node));
    const before = text[start - 1] === ' ' ? start - 1 : start;
    return [
      { from: before, to: endOf(text, node), insert: '' },
      { from: end, to: end, insert: lines },
    ];
  }
  const { head } = printed(value, { quotes: 'plain', flow: true, indent: 0, step: 2 });
  if (!last) return [{ from: start + 1, to: start + 1, insert: `${key}: ${head}` }];
  const end = endOfEntry(text, last);
  return [{ from: end, to: end, insert: `, ${key}: ${head}` }];
}

function removed(tree: Tree, path: Path): Splice[] {
  const { text } = tree;
  const found = find(tree, path);
  if (!found?.entry || !found.within) throw new Refused('There is nothing to remove.');
  const siblings = entriesOf(found.within);
  const index = siblings.indexOf(found.entry);
  if (found.within.flow) {
    const next = siblings[index + 1];
    const before = siblings[index - 1];
    if (next) return [{ from: startOf(found.entry.key), to: startOf(next.key), insert: '' }];
    const from = before ? endOfEntry(text, before) : startOf(found.entry.key);
    return [{ from, to: endOfEntry(text, found.entry), insert: '' }];
  }
  const start = lineStart(text, startOf(found.entry.key));
  if (text.slice(start, startOf(found.entry.key)).trim() !== '')
    throw new Refused('It stands on one line with others.');
  let from = siblings.length === 1 ? start : commentStart(text, found.entry);
  let to = lineEnd(text, endOfEntry(text, found.entry));
  const blankAbove = /(?:^|\n)[ \t]*\n$/.test(text.slice(0, from));
  const blankBelow = /^\n[ \t]*(?:\n|$)/.exec(text.slice(to, to + 200));
  if (blankAbove && blankBelow && index > 0 && text.slice(to).trim() !== '') to += blankBelow[0].length - 1;
  else if (blankAbove && text.slice(to).trim() === '' && !endsInKept(text, siblings[index - 1]))
    from = text.slice(0, from).replace(/\n[ \t]*\n$/, '\n').length;
  const gone = { from, to: Math.min(to + 1, text.length), insert: '' };
  if (to === text.length && from > 0) gone.from = from - 1;
  if (siblings.length > 1) return [gone];
  const holder = find(tree, path.slice(0, -1))?.entry;
  if (!holder?.key.range) throw new Refused('It is the last entry of the file.');
  const colon = holder.key.range[1] + 1;
  return [{ from: colon, to: colon, insert: ' {}' }, gone];
}

/** Where the comment directly above an entry begins, else its own line. */
function commentStart(text: string, entry: Entry): number {
  let from = lineStart(text, startOf(entry.key));
  const space = ' '.repeat(startOf(entry.key) - from);
  while (from > 0) {
    const above = lineStart(text, from - 1);
    if (!text.startsWith(`${space}#`, above)) break;
    from = above;
  }
  return from;
}

const endsInKept = (text: string, entry: Entry | undefined): boolean =>
  entry?.value ? /[|>]\d?\+[ \t]*(?:#.*)?\n/.test(text.slice(startOf(entry.key), endOfEntry(text, entry) + 1)) : false;
