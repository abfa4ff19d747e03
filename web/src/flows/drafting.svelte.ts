// A draft of the flow that a model writes from words: what was asked for, what came of it; outlives the view of it.
import { asFailure, type Failure } from '../api/failure';
import type { FlowEditing } from './editing.svelte';
import { draft, type Drafted } from './words';

export class Drafting {
  words = $state('');
  model = $state('large');
  running = $state(false);
  round = $state(1);
  soFar = $state('');
  drafted = $state.raw<Drafted | null>(null);
  failure = $state.raw<Failure | null>(null);
  #stop: AbortController | null = null;

  constructor(private readonly editing: FlowEditing) {}

  async write(): Promise<void> {
    const { document, name, vocabulary } = this.editing;
    if (!vocabulary || this.words.trim() === '') return;
    const own = (this.#stop = new AbortController());
    this.running = true;
    this.round = 1;
    this.soFar = '';
    this.drafted = this.failure = null;
    try {
      const asked = { name, words: this.words, model: this.model, before: document.text, vocabulary };
      const heard = (round: number, text: string): unknown => ([this.round, this.soFar] = [round, text]);
      this.drafted = await draft(asked, heard, own.signal);
    } catch (cause) {
      if (!own.signal.aborted) this.failure = asFailure(cause);
    }
    if (this.#stop === own) this.running = false;
  }

  stop(): void {
    this.#stop?.abort();
  }

  /** It takes the place of the text, as one step of undo. */
  accept(): void {
    if (!this.drafted) return;
    const { document } = this.editing;
    document.replace(0, document.text.length, this.drafted.text);
    this.editing.tell('The draft took over what the model wrote; undo brings yours back.');
    this.drafted = null;
  }
}
