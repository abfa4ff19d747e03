// The text of a flow with one undo stack for typing, canvas and forms; everything else is a view of it.
import { history, isolateHistory, redo, redoDepth, undo, undoDepth } from '@codemirror/commands';
import { Compartment, EditorState, type Extension, type TransactionSpec } from '@codemirror/state';
import type { EditorView } from '@codemirror/view';
import { perform, type Gesture } from './splices';
import { readTree, type Tree } from './tree';

/** After the last key, in ms: reading 300 nodes takes up to 100. */
const READ_MS = 120;

export class FlowDocument {
  /** With \n at each line's end, whatever the file has. */
  text = $state.raw('');
  /** Of `text`, or of what it was a moment ago; gestures read it anew. */
  tree = $state.raw<Tree>(readTree(''));
  undos = $state(0);
  redos = $state(0);
  /** Called after each change of the text; `gesture`: it was not typed. */
  changed: (gesture: boolean) => void = () => undefined;

  #state: EditorState;
  #view: EditorView | null = null;
  readonly #editor = new Compartment();
  #later: ReturnType<typeof setTimeout> | undefined;
  #crlf = false;

  constructor() {
    this.#state = this.#fresh('');
  }

  /** Begins anew, with an empty undo stack. */
  open(text: string): void {
    this.#crlf = text.includes('\r\n') && !/(^|[^\r])\n/.test(text);
    const state = this.#fresh(this.#crlf ? text.replaceAll('\r\n', '\n') : text);
    if (this.#view) this.#view.setState(state.update({ effects: this.#editor.reconfigure(this.#extensions) }).state);
    this.#took(this.#view?.state ?? state);
    this.#read();
  }

  /** The file, with its own line ends. */
  get file(): string {
    return this.#crlf ? this.text.replaceAll('\n', '\r\n') : this.text;
  }

  /** One gesture: one step of undo. Throws Refused. */
  perform(make: (tree: Tree) => Gesture): void {
    const tree = this.current();
    const gesture = make(tree);
    const after = perform(tree, gesture);
    this.#dispatch({
      changes: gesture.splices.map(({ from, to, insert }) => ({ from, to, insert })),
      annotations: isolateHistory.of('full'),
      userEvent: 'input.gesture',
    });
    this.tree = after;
    this.changed(true);
  }

  /** Replaces a part of the text, also of one that is no YAML. */
  replace(from: number, to: number, insert: string): void {
    this.#dispatch({
      changes: { from, to, insert },
      annotations: isolateHistory.of('full'),
      userEvent: 'input.gesture',
    });
    this.#read();
    this.changed(true);
  }

  undo(): void {
    this.#step(undo);
  }

  redo(): void {
    this.#step(redo);
  }

  /** The tree of the text as it is now. */
  current(): Tree {
    if (this.tree.text !== this.text) this.#read();
    return this.tree;
  }

  /** Puts the text into an editor, with the undo stack as it is. */
  mount(make: (state: EditorState, took: (state: EditorState, changed: boolean) => void) => EditorView): void {
    const effects = this.#editor.reconfigure(this.#extensions);
    this.#view = make(this.#state.update({ effects }).state, (state, changed) => {
      this.#took(state);
      if (!changed) return;
      clearTimeout(this.#later);
      this.#later = setTimeout(() => this.#read(), READ_MS);
      this.changed(false);
    });
  }

  #extensions: Extension = [];

  extend(extensions: Extension): void {
    this.#extensions = extensions;
  }

  unmount(): void {
    const state = this.#view?.state;
    this.#view?.destroy();
    this.#view = null;
    if (state) this.#took(state.update({ effects: this.#editor.reconfigure([]) }).state);
  }

  get view(): EditorView | null {
    return this.#view;
  }

  #fresh(text: string): EditorState {
    return EditorState.create({
      doc: text,
      extensions: [history(), EditorState.lineSeparator.of('\n'), this.#editor.of([])],
    });
  }

  #dispatch(spec: TransactionSpec): void {
    if (this.#view) this.#view.dispatch(spec);
    else this.#took(this.#state.update(spec).state);
  }

  #step(command: typeof undo): void {
    const target = this.#view ?? {
      state: this.#state,
      dispatch: (transaction: { state: EditorState }) => this.#took(transaction.state),
    };
    if (!command(target)) return;
    this.#read();
    this.changed(true);
  }

  #took(state: EditorState): void {
    this.#state = state;
    const text = state.doc.toString();
    if (text !== this.text) this.text = text;
    this.undos = undoDepth(state);
    this.redos = redoDepth(state);
  }

  #read(): void {
    clearTimeout(this.#later);
    if (this.tree.text !== this.text) this.tree = readTree(this.text);
  }
}
