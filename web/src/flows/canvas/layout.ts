// Where each node of a flow is drawn: its column is its depth, its row the order of the file; the same file, the same picture.

export interface Laid {
  id: string;
  parent: string;
  cases: readonly string[];
}

export interface Link {
  from: string;
  to: string;
}

export interface Box {
  id: string;
  x: number;
  y: number;
  width: number;
  height: number;
  /** How many frames it lies in. */
  level: number;
  frame: boolean;
}

export const WIDTH = 184;
export const HEIGHT = 74;
export const CASE = 24;
const BETWEEN = { x: 44, y: 26 };
const FRAME = { top: 48, side: 20, bottom: 20 };

/** `nodes` in the order of the file. Links between levels count for what holds their ends. */
export function layOut(nodes: readonly Laid[], links: readonly Link[]): Map<string, Box> {
  const parents = new Map(nodes.map((each) => [each.id, each.parent]));
  const inside = new Map<string, Laid[]>();
  for (const each of nodes) inside.set(each.parent, [...(inside.get(each.parent) ?? []), each]);
  const chains = new Map(nodes.map((each) => [each.id, chain(parents, each.id)]));
  const byLevel = new Map<string, [string, string][]>();
  for (const { from, to } of links) {
    const [above, below] = [chains.get(from), chains.get(to)];
    if (!above || !below) continue;
    let level = 0;
    while (level < above.length - 1 && level < below.length - 1 && above[level] === below[level]) level += 1;
    const [source, target] = [above[level] ?? '', below[level] ?? ''];
    if (source === target) continue;
    const parent = parents.get(source) ?? '';
    const pairs = byLevel.get(parent) ?? [];
    pairs.push([source, target]);
    byLevel.set(parent, pairs);
  }
  const boxes = new Map<string, Box>();
  place('', 0);
  return boxes;

  /** Lays a level out at 0, 0; returns its size. */
  function place(parent: string, level: number): { width: number; height: number } {
    const own = inside.get(parent) ?? [];
    const sizes = new Map(own.map((each) => [each.id, size(each, level)]));
    const before = new Map<string, string[]>();
    for (const [source, target] of byLevel.get(parent) ?? [])
      before.set(target, [...(before.get(target) ?? []), source]);
    const depths = depthsOf(own, before);
    const columns: Laid[][] = [];
    for (const each of own) (columns[depths.get(each.id) ?? 0] ??= []).push(each);
    let x = 0;
    let bottom = 0;
    for (const column of columns) {
      let y = 0;
      let widest = 0;
      for (const each of column ?? []) {
        const { width, height } = sizes.get(each.id) ?? { width: WIDTH, height: HEIGHT };
        const sources = (before.get(each.id) ?? []).map((id) => boxes.get(id)).filter((box) => box !== undefined);
        const middle = sources.reduce((sum, box) => sum + box.y + box.height / 2, 0) / (sources.length || 1);
        const wanted = sources.length > 0 ? Math.max(0, middle - height / 2) : 0;
        const top = Math.round(Math.max(y, wanted) / 2) * 2;
        shift(each.id, x, top);
        boxes.set(each.id, { id: each.id, x, y: top, width, height, level, frame: inside.has(each.id) });
        y = top + height + BETWEEN.y;
        bottom = Math.max(bottom, top + height);
        widest = Math.max(widest, width);
      }
      x += widest + BETWEEN.x;
    }
    return { width: Math.max(0, x - BETWEEN.x), height: bottom };
  }

  function size(each: Laid, level: number): { width: number; height: number } {
    if (!inside.has(each.id)) return { width: WIDTH, height: HEIGHT + each.cases.length * CASE };
    const inner = place(each.id, level + 1);
    for (const one of inside.get(each.id) ?? []) move(one.id, FRAME.side, FRAME.top);
    return { width: inner.width + 2 * FRAME.side, height: inner.height + FRAME.top + FRAME.bottom };
  }

  /** What lies in a frame moves with it. */
  function shift(id: string, x: number, y: number): void {
    for (const one of inside.get(id) ?? []) move(one.id, x, y);
  }

  function move(id: string, x: number, y: number): void {
    const box = boxes.get(id);
    if (box) boxes.set(id, { ...box, x: box.x + x, y: box.y + y });
    for (const one of inside.get(id) ?? []) move(one.id, x, y);
  }
}

/** From the outermost holder to the node itself. */
function chain(parents: ReadonlyMap<string, string>, id: string): string[] {
  const found: string[] = [];
  for (let at = id; at !== '' && found.length < 10; at = parents.get(at) ?? '') found.unshift(at);
  return found;
}

/** The longest way from a node without a predecessor; a circle ends where it began. */
function depthsOf(own: readonly Laid[], before: ReadonlyMap<string, string[]>): Map<string, number> {
  const depths = new Map<string, number>();
  const open = new Set<string>();
  const depth = (id: string): number => {
    const known = depths.get(id);
    if (known !== undefined) return known;
    if (open.has(id)) return 0;
    open.add(id);
    const found = Math.max(-1, ...(before.get(id) ?? []).map(depth)) + 1;
    open.delete(id);
    depths.set(id, found);
    return found;
  };
  for (const each of own) depth(each.id);
  return depths;
}
