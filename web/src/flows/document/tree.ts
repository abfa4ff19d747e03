// The YAML of a flow as paths and ranges of its text; reads, and changes nothing.
import { isAlias, isCollection, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document, Node, Pair, YAMLMap } from 'yaml';

export type Key = string | number;
export type Path = readonly Key[];
export type Entry = Pair<Node, Node | null>;

/** `wrong`: why the text is no YAML, with its place; a tree is read as far as it goes. */
export interface Tree {
  text: string;
  document: Document.Parsed;
  data: unknown;
  wrong: { message: string; from: number; to: number; line: number; column: number } | null;
}

export function readTree(text: string): Tree {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'silent' });
  const error = document.errors[0];
  const { line, col } = error ? lines.linePos(error.pos[0]) : { line: 1, col: 1 };
  const wrong = error
    ? { message: error.message, from: error.pos[0], to: Math.max(error.pos[0], error.pos[1]), line, column: col }
    : null;
  return { text, document, data: wrong ? null : (document.toJS({ maxAliasCount: 100 }) as unknown), wrong };
}

/** The value at `path` and, of a mapping, the entry that holds it. */
export function find(
  tree: Tree,
  path: Path,
): { entry: Entry | null; node: Node | null; within: YAMLMap | null } | null {
  let node = tree.document.contents as Node | null;
  let entry: Entry | null = null;
  let within: YAMLMap | null = null;
  for (const key of path) {
    if (isMap(node)) {
      const found = (node.items as Entry[]).find((each) => keyOf(each) === String(key));
      if (!found) return null;
      [within, entry, node] = [node, found, found.value];
    } else if (isSeq(node) && typeof key === 'number' && key < node.items.length) {
      const item = node.items[key];
      [within, entry, node] = [null, null, isPair(item) ? null : (item as Node)];
    } else return null;
  }
  return { entry, node, within };
}

export function keyOf(entry: Entry): string {
  return isScalar(entry.key) ? String(entry.key.value) : '';
}

export const entriesOf = (node: Node | null): Entry[] => (isMap(node) ? (node.items as Entry[]) : []);
export const startOf = (node: Node): number => node.range?.[0] ?? 0;
export const lineStart = (text: string, at: number): number => text.lastIndexOf('\n', at - 1) + 1;
export const columnOf = (text: string, at: number): number => at - lineStart(text, at);

/** Where its line ends, before the line break. */
export function lineEnd(text: string, at: number): number {
  const found = text.indexOf('\n', at);
  return found < 0 ? text.length : found;
}

/** Where what `node` says ends: without blank lines and comments behind it. */
export function endOf(text: string, node: Node): number {
  if (isCollection(node) && !node.flow) {
    const last = node.items.at(-1);
    if (isPair(last)) return endOfEntry(text, last as Entry);
    return last ? Math.max(endOf(text, last as Node), startOf(last as Node)) : (node.range?.[1] ?? 0);
  }
  let end = node.range?.[1] ?? 0;
  if (isScalar(node) && (node.type === 'BLOCK_LITERAL' || node.type === 'BLOCK_FOLDED')) {
    const kept = /^[|>]\d?\+/.test(text.slice(startOf(node), startOf(node) + 3));
    const said = text.slice(startOf(node), end);
    end = startOf(node) + (kept ? said.replace(/\n$/, '') : said.trimEnd()).length;
  }
  return end;
}

export function endOfEntry(text: string, entry: Entry): number {
  const key = entry.key.range?.[1] ?? 0;
  return entry.value ? Math.max(key, endOf(text, entry.value)) : key;
}

/** How many spaces a level is indented by. */
export function indentStep(tree: Tree): number {
  for (const entry of entriesOf(tree.document.contents)) {
    const inner = isMap(entry.value) && !entry.value.flow ? entriesOf(entry.value)[0] : undefined;
    if (inner) return Math.max(1, columnOf(tree.text, startOf(inner.key)));
  }
  return 2;
}

/** The deepest path whose lines hold the offset `at`. */
export function pathAt(tree: Tree, at: number): Path {
  const path: Key[] = [];
  let node = tree.document.contents as Node | null;
  for (;;) {
    if (isMap(node)) {
      const held = (node.items as Entry[]).find(
        (each) => startOf(each.key) <= at && at <= lineEnd(tree.text, endOfEntry(tree.text, each)),
      );
      if (!held) return path;
      path.push(keyOf(held));
      node = held.value;
    } else if (isSeq(node)) {
      const index = node.items.findIndex((each) => {
        const item = each as Node;
        return startOf(item) <= at && at <= lineEnd(tree.text, endOf(tree.text, item));
      });
      if (index < 0) return path;
      path.push(index);
      node = node.items[index] as Node;
    } else return path;
  }
}

export { isAlias, isMap, isScalar, isSeq };
export type { Node, YAMLMap };
