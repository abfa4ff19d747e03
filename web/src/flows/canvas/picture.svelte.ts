// What is drawn of a flow: its nodes with their boxes, made from the graph and the data of the file; changes no text.
import { Position } from '@xyflow/svelte';
import { fieldsOf, telling, typeWords } from '../document/flow';
import { get } from '../document/edits';
import type { Path } from '../document/tree';
import type { Graph } from '../editing.svelte';
import type { FlowEdge, FlowNode } from '../queries';
import { CASE, HEIGHT, layOut, type Box } from './layout';

export const INPUTS = '#inputs';
export const OUTPUTS = '#outputs';
export type Change = 'added' | 'removed' | 'changed';

/** What a node shows; its state while it is tried is kept apart, so that it is drawn anew alone. */
export interface Shown {
  node: FlowNode | null;
  title: string;
  kind: string;
  telling: string;
  cases: readonly string[];
  [key: string]: unknown;
}
export interface Drawn {
  id: string;
  type: 'card' | 'frame';
  position: { x: number; y: number };
  width: number;
  height: number;
  measured: { width: number; height: number };
  handles: {
    type: 'source' | 'target';
    position: Position;
    id?: string;
    x: number;
    y: number;
    width: number;
    height: number;
  }[];
  zIndex: number;
  data: Shown;
}
export interface Line {
  key: string;
  d: string;
  edge: FlowEdge;
  label: string;
  x: number;
  y: number;
}

const HANDLE = 12;
export const caseTop = (index: number): number => HEIGHT + index * CASE - CASE / 2 + 8;

export class Picture {
  selected = $state('');
  /** The text is no YAML: this is the picture of before. */
  stale = $state(false);
  graph = $state.raw<Graph>({ nodes: [], edges: [] });
  data = $state.raw<unknown>(null);
  /** Of a difference: what became of a node. */
  changes = $state.raw<ReadonlyMap<string, Change>>(new Map());
  mistakes = $state.raw<ReadonlyMap<string, number>>(new Map());
  pinned = $state.raw<ReadonlySet<string>>(new Set());
  /** Incremented to bring the selected node into view, or all of them. */
  wantsNode = $state(0);
  wantsAll = $state(0);
  zoom = $state(0);
  chosen: (id: string) => void = () => undefined;

  readonly boxes = $derived.by(() => this.#layOut());
  readonly drawn = $derived.by(() => this.#draw());
  readonly lines = $derived.by(() => this.#lines());
  /** The key of the state of each node; a trial fills it. */
  states: { of: (id: string) => string; words: (id: string) => string; facts: (id: string) => string } = {
    of: () => '',
    words: () => '',
    facts: () => '',
  };

  scale(by: number): void {
    this.zoom = Math.min(1.6, Math.max(0.08, (this.zoom || 1) * by));
  }

  select(id: string): void {
    this.selected = id;
    this.chosen(id);
  }

  #ends(edge: FlowEdge): [string, string] {
    return [edge.from === 'inputs' ? INPUTS : edge.from, edge.to === '' ? OUTPUTS : edge.to];
  }

  #layOut(): Map<string, Box> {
    const { nodes, edges } = this.graph;
    const fields = (key: string): number =>
      Object.keys((get(this.data, [key]) as object | null | undefined) ?? {}).length;
    const all = [
      ...(fields('inputs') > 0 ? [{ id: INPUTS, parent: '', cases: [] }] : []),
      ...nodes,
      ...(fields('outputs') > 0 ? [{ id: OUTPUTS, parent: '', cases: [] }] : []),
    ];
    const links = edges.map((each) => this.#ends(each)).map(([from, to]) => ({ from, to }));
    const level = nodes.filter((each) => each.parent === '');
    const into = new Set(links.map((each) => each.to));
    const before = level.filter((each) => !into.has(each.id)).map((each) => ({ from: INPUTS, to: each.id }));
    const behind = level.map((each) => ({ from: each.id, to: OUTPUTS }));
    return layOut(all, [...links, ...before, ...behind]);
  }

  #draw(): Drawn[] {
    const drawn: Drawn[] = [];
    for (const box of this.boxes.values()) {
      const node = this.graph.nodes.find((each) => each.id === box.id) ?? null;
      const { width, height } = box;
      const cases = node?.cases ?? [];
      const source = {
        type: 'source' as const,
        position: Position.Right,
        width: HANDLE,
        height: HANDLE,
        x: width - HANDLE / 2,
      };
      drawn.push({
        id: box.id,
        type: box.frame ? 'frame' : 'card',
        position: { x: box.x, y: box.y },
        width,
        height,
        measured: { width, height },
        handles: [
          {
            type: 'target',
            position: Position.Left,
            x: -HANDLE / 2,
            y: HEIGHT / 2 - HANDLE / 2,
            width: HANDLE,
            height: HANDLE,
          },
          { ...source, y: HEIGHT / 2 - HANDLE / 2 },
          ...cases.map((each, index) => ({ ...source, id: each, y: caseTop(index) })),
        ],
        zIndex: box.level * 2,
        data: this.#shown(box.id, node),
      });
    }
    return drawn;
  }

  #shown(id: string, node: FlowNode | null): Shown {
    if (node)
      return {
        node,
        title: node.id,
        kind: node.kind,
        telling: telling(this.data, node.path as Path),
        cases: node.cases,
      };
    const key = id === INPUTS ? 'inputs' : 'outputs';
    const names = Object.keys((get(this.data, [key]) as object | null | undefined) ?? {});
    return {
      node: null,
      title: key,
      kind: id === INPUTS ? 'what goes in' : 'what comes out',
      telling: names.join(', '),
      cases: [],
    };
  }

  #lines(): Line[] {
    const seen = new Map<string, Line>();
    for (const edge of this.graph.edges) {
      const [from, to] = this.#ends(edge);
      const [source, target] = [this.boxes.get(from), this.boxes.get(to)];
      if (!source || !target) continue;
      const key = `${from} ${to} ${edge.case} ${edge.kind === 'order'}`;
      const known = seen.get(key);
      if (known) {
        if (!known.label.split(', ').includes(edge.reference)) known.label += `, ${edge.reference}`;
        continue;
      }
      const node = this.graph.nodes.find((each) => each.id === from);
      const number = edge.case ? (node?.cases.indexOf(edge.case) ?? -1) : -1;
      const inner = target.frame && source.x > target.x && source.x < target.x + target.width;
      const a = {
        x: source.x + source.width,
        y: source.y + (number < 0 ? Math.min(HEIGHT, source.height) / 2 : caseTop(number) + HANDLE / 2),
      };
      const b = { x: inner ? target.x + target.width - 8 : target.x, y: target.y + HEIGHT / 2 };
      const bend = Math.max(36, Math.abs(b.x - a.x) / 2);
      const d = `M${a.x} ${a.y}C${a.x + bend} ${a.y} ${b.x - bend} ${b.y} ${b.x} ${b.y}`;
      seen.set(key, { key, d, edge, label: edge.reference, x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
    }
    return [...seen.values()];
  }
}

export function outputsOf(node: FlowNode): string[] {
  return fieldsOf(node.outputs).map(([name, type]) => `${name}: ${typeWords(type)}`);
}
