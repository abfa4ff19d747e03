// The desk of a flow: which view is open, which dialog, and what each key and button does there.
import { openSearchPanel } from '@codemirror/search';
import { session } from '../api/session.svelte';
import type { Target } from '../kit/palette';
import { router } from '../kit/router.svelte';
import { dollars } from '../words/money';
import { duration } from '../words/time';
import { actionOf, neighbour, type Action } from './canvas/keyboard';
import { INPUTS, Picture } from './canvas/picture.svelte';
import { Drafting } from './drafting.svelte';
import type { FlowEditing } from './editing.svelte';
import { duplicateNode, remove } from './gestures';
import type { FlowEdge } from './queries';
import { Trial } from './trying/trial.svelte';

export const VIEWS = ['Canvas', 'Text', 'Node', 'Try', 'Words', 'Versions'] as const;
export type View = (typeof VIEWS)[number];
const WORDS = {
  try: 'Try all',
  only: 'Try this node',
  publish: 'Publish …',
  undo: 'Undo',
  redo: 'Redo',
  fit: 'Show all of the picture',
  help: 'Keys',
} as const;
const CHANGES: readonly Action[] = ['add', 'connect', 'duplicate', 'remove', 'publish'];

export class Desk {
  readonly picture = new Picture();
  readonly trial = new Trial();
  readonly drafting: Drafting;
  readonly mayEdit = session.may(['manage_flows']);
  /** Too narrow for canvas and views side by side. */
  small = $state(false);
  view = $state<View>('Text');
  connecting = $state.raw<{ source: string; of: string; target: string } | null>(null);
  sentence = $state.raw<FlowEdge | null>(null);
  publishing = $state.raw<{ text: string; restores: string } | null>(null);
  help = $state(false);
  /** The form of a trial, once it is shown. */
  trying = $state.raw<{ run: (alone: boolean) => void } | null>(null);

  readonly pins = $derived.by(() => (this.editing.layout['pins'] ?? {}) as Record<string, unknown>);
  readonly acts: Record<Action, () => void>;
  /** Of the cursor, while the check is not yet done. */
  #line = 0;

  constructor(readonly editing: FlowEditing) {
    this.drafting = new Drafting(editing);
    this.trial.fromRun = router.query.get('run') ?? '';
    const narrow = matchMedia('(max-width: 60rem)');
    this.small = narrow.matches;
    narrow.addEventListener('change', () => (this.small = narrow.matches));
    editing.selected = router.query.get('node') ?? '';
    const asked = VIEWS.find((each) => each.toLowerCase() === router.query.get('view'));
    this.view = asked ?? (this.small ? 'Canvas' : 'Text');
    this.picture.chosen = (id) => (editing.selected = id.startsWith('#') ? '' : id);
    this.picture.states = {
      of: (id) => this.trial.states.get(id)?.state ?? '',
      words: (id) => this.#words(id),
      facts: (id) => this.#facts(id),
    };
    this.acts = this.#acts();
  }

  /** Its nodes and acts, for the palette. */
  readonly targets = $derived.by((): Target[] => [
    ...this.editing.graph.nodes.map((node): Target => ({
      kind: 'node',
      name: node.id,
      to: () => (this.editing.selected = node.id),
    })),
    ...(['try', 'only', 'publish', 'undo', 'redo', 'fit', 'help'] as const)
      .filter((each) => this.mayEdit || !CHANGES.includes(each))
      .map((each): Target => ({ kind: 'this flow', name: WORDS[each], to: this.acts[each] })),
  ]);

  /** What the picture shows is what the document and its check say. */
  draw(): void {
    const { editing, picture } = this;
    picture.graph = editing.graph;
    if (!editing.document.tree.wrong) picture.data = editing.document.tree.data;
    picture.stale = editing.document.tree.wrong !== null;
    const wrong = new Map<string, number>();
    for (const { node } of editing.findings.filter((each) => each.severity === 'error'))
      wrong.set(node, (wrong.get(node) ?? 0) + 1);
    picture.mistakes = wrong;
    picture.pinned = new Set(Object.keys(this.pins));
    if (this.#line > 0 && editing.checked === editing.document.text) this.at(this.#line);
  }

  pin(id: string, output: unknown): void {
    const kept = Object.entries(this.pins).filter(([each]) => each !== id);
    const pins = Object.fromEntries(output === undefined ? kept : [...kept, [id, output]]);
    this.editing.layout = { ...this.editing.layout, pins };
    this.editing.saveLater();
    this.editing.tell(
      output === undefined ? `${id} is not pinned any more.` : `${id} is pinned: trials take this output.`,
    );
  }

  /** The cursor is in this line: its node is the chosen one, once the check has said where nodes are. */
  at(line: number): void {
    const { editing } = this;
    const checked = editing.checked === editing.document.text;
    this.#line = checked ? 0 : line;
    if (checked)
      editing.selected =
        editing.graph.nodes.filter((each) => each.line <= line && line <= each.endLine).at(-1)?.id ?? '';
  }

  show(line: number): void {
    this.view = 'Text';
    requestAnimationFrame(() => {
      const editor = this.editing.document.view;
      if (!editor) return;
      const from = editor.state.doc.line(Math.min(line, editor.state.doc.lines)).from;
      editor.dispatch({ selection: { anchor: from }, scrollIntoView: true });
      editor.focus();
    });
  }

  run(alone: boolean): void {
    this.view = 'Try';
    requestAnimationFrame(() => this.trying?.run(alone));
  }

  connect(source: string, of: string, target: string): void {
    if (target.startsWith('#')) this.editing.tell('What a flow returns is written in its text, under outputs.', true);
    else this.connecting = { source: source === INPUTS ? '' : source, of, target };
  }

  key(event: KeyboardEvent): void {
    const { tagName } = event.target as HTMLElement;
    if (['INPUT', 'TEXTAREA', 'SELECT'].includes(tagName)) return;
    if (event.key.startsWith('Arrow') && !event.ctrlKey && !event.altKey && !event.metaKey) {
      const next = neighbour(this.picture, event.key);
      if (next) this.editing.selected = next;
      event.preventDefault();
      return;
    }
    const action = actionOf(event);
    if (!action || (!this.mayEdit && CHANGES.includes(action))) return;
    if (action === 'edit' && tagName === 'BUTTON') return; // Enter presses it
    event.preventDefault();
    this.acts[action]();
  }

  /** Ends what runs for this flow. */
  close(): void {
    this.trial.stop();
    this.drafting.stop();
    this.editing.close();
  }

  #words(id: string): string {
    const runs = this.trial.states.get(id)?.state === 'running' && this.editing.node(id)?.streams;
    return runs ? this.trial.words.slice(-60) : '';
  }

  #facts(id: string): string {
    const state = this.trial.states.get(id);
    if (state?.state !== 'done') return state?.state ?? '';
    const cost = state.model ? dollars(state.costUsd) : '';
    return [state.model, duration(state.at - state.began), cost].filter(Boolean).join(' · ');
  }

  #focus(selector: string): void {
    requestAnimationFrame(() => document.querySelector<HTMLElement>(selector)?.focus());
  }

  #open(view: View, selector: string): void {
    this.view = view;
    this.#focus(selector);
  }

  #acts(): Record<Action, () => void> {
    const { editing, picture } = this;
    return {
      edit: () => this.#open('Node', '.form textarea, .form input'),
      rename: () => this.#open('Node', '.form .name input'),
      add: () => this.#focus('#add-node'),
      connect: () => {
        if (editing.selected) this.connecting = { source: editing.selected, of: '', target: '' };
      },
      duplicate: () => duplicateNode(editing, editing.selected),
      remove: () => remove(editing, editing.selected),
      undo: () => editing.document.undo(),
      redo: () => editing.document.redo(),
      try: () => this.run(false),
      only: () => this.run(true),
      save: () => void editing.save(),
      publish: () => (this.publishing = { text: editing.document.file, restores: '' }),
      pin: () => {
        const id = editing.selected;
        if (id) this.pin(id, id in this.pins ? undefined : (this.trial.states.get(id)?.output ?? undefined));
      },
      fit: () => (picture.wantsAll += 1),
      whole: () => (picture.zoom = 1),
      closer: () => picture.scale(1.25),
      further: () => picture.scale(0.8),
      none: () => (editing.selected = ''),
      find: () => {
        this.view = 'Text';
        requestAnimationFrame(() => editing.document.view && openSearchPanel(editing.document.view));
      },
      help: () => (this.help = true),
    };
  }
}
