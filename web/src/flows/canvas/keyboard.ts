// Keys on the canvas: which node is next, and which key does what; pure, and none fires in a field.
import type { Picture } from './picture.svelte';

export type Action =
  | 'edit'
  | 'rename'
  | 'add'
  | 'connect'
  | 'duplicate'
  | 'remove'
  | 'undo'
  | 'redo'
  | 'try'
  | 'only'
  | 'save'
  | 'publish'
  | 'pin'
  | 'fit'
  | 'whole'
  | 'closer'
  | 'further'
  | 'none'
  | 'find'
  | 'help';

const PLAIN: Record<string, Action> = {
  Enter: 'edit',
  F2: 'rename',
  a: 'add',
  '/': 'add',
  c: 'connect',
  Delete: 'remove',
  Backspace: 'remove',
  p: 'pin',
  '0': 'fit',
  '1': 'whole',
  '+': 'closer',
  '=': 'closer',
  '-': 'further',
  Escape: 'none',
  '?': 'help',
};
const WITH_CTRL: Record<string, Action> = { z: 'undo', y: 'redo', d: 'duplicate', s: 'save', f: 'find', Enter: 'try' };

export function actionOf(event: KeyboardEvent): Action | null {
  if (event.altKey) return null;
  const held = event.ctrlKey || event.metaKey;
  if (held && event.shiftKey)
    return ({ z: 'redo', p: 'publish' } as const)[event.key.toLowerCase() as 'z' | 'p'] ?? null;
  if (held) return WITH_CTRL[event.key] ?? null;
  if (event.shiftKey && event.key === 'Enter') return 'only';
  return PLAIN[event.key] ?? null;
}

/** The node that an arrow leads to: along an edge, or to the next one above or below. */
export function neighbour(picture: Picture, key: string): string | null {
  const at = picture.boxes.get(picture.selected);
  const all = [...picture.boxes.values()].filter((each) => !each.id.startsWith('#'));
  if (!at) return all[0]?.id ?? null;
  if (key === 'ArrowRight' || key === 'ArrowLeft') {
    const forward = key === 'ArrowRight';
    const edges = picture.graph.edges.filter((each) => (forward ? each.from : each.to) === at.id);
    const ends = new Set(edges.map((each) => (forward ? each.to : each.from)));
    return (
      nearest(
        all.filter((each) => ends.has(each.id)),
        at,
      ) ??
      nearest(
        all.filter((each) => (forward ? each.x > at.x : each.x < at.x)),
        at,
      )
    );
  }
  const below = key === 'ArrowDown';
  return nearest(
    all.filter((each) => (below ? each.y > at.y : each.y < at.y) && Math.abs(each.x - at.x) < 150),
    at,
  );
}

function nearest(boxes: readonly { id: string; x: number; y: number }[], at: { x: number; y: number }): string | null {
  const far = (each: { x: number; y: number }): number => Math.hypot(each.x - at.x, each.y - at.y);
  return [...boxes].sort((a, b) => far(a) - far(b))[0]?.id ?? null;
}

export const KEYS: readonly [string, string][] = [
  ['Arrows', 'go along edges and rows'],
  ['Enter', 'edit the fields'],
  ['F2', 'rename'],
  ['A', 'add a node after it'],
  ['C', 'connect it'],
  ['Ctrl D', 'duplicate'],
  ['Delete', 'remove'],
  ['P', 'pin or unpin its output'],
  ['Ctrl Enter', 'try all'],
  ['Shift Enter', 'try this node'],
  ['0  1  +  −', 'all, 100 %, closer, further'],
  ['Ctrl F', 'find in the text'],
  ['Ctrl Z, Ctrl Shift Z', 'undo, redo'],
  ['Ctrl S', 'save the draft now'],
  ['Ctrl Shift P', 'publish'],
];
