// The list of records: pages by keyset, and what arrives meanwhile held back until it is asked for.
import { asFailure, type Failure } from '../api/failure';
import { ask } from '../api/graphql';
import { listen } from '../api/live';
import { reach } from '../api/reach.svelte';
import { recordListDocument, recordLiveDocument, type RecordRow } from './queries';

export type Row = RecordRow;

const PAGE = 100;
const AGAIN_MS = 5_000;
const MOST_WAITING = 50;

export class RecordRows {
  rows = $state.raw<readonly Row[]>([]);
  /** Arrived since the list was drawn, newest first; at most fifty, then there are more. */
  waiting = $state.raw<readonly Row[]>([]);
  before = $state.raw<string | null>(null);
  scannedTo = $state.raw<number | null>(null);
  loaded = $state(false);
  /** Its rows were painted: what else the page asks for waits for this. */
  drawn = $state(false);
  busy = $state(false);
  failure = $state.raw<Failure | null>(null);
  #filter: () => Record<string, string | number | boolean>;
  #number = 0;
  #live: AbortController | null = null;

  constructor(filter: () => Record<string, string | number | boolean>) {
    this.#filter = filter;
  }

  /** The first page, from now. */
  async restart(): Promise<void> {
    const number = ++this.#number;
    this.busy = true;
    this.waiting = [];
    addEventListener('visibilitychange', this.#seen);
    try {
      const page = (await ask(recordListDocument, { filter: this.#filter(), last: PAGE })).records;
      if (number !== this.#number) return;
      this.rows = page.rows;
      this.#hold(this.waiting);
      this.before = page.before;
      this.scannedTo = page.scannedTo;
      this.failure = null;
      this.loaded = true;
    } catch (cause) {
      if (number !== this.#number) return;
      this.failure = asFailure(cause);
      if (this.failure.code === 'unreachable')
        void reach.back().then(() => (number === this.#number ? this.restart() : undefined));
    }
    this.busy = false;
    requestAnimationFrame(() => setTimeout(() => (number === this.#number ? this.#painted() : undefined)));
  }

  #painted(): void {
    this.drawn = this.loaded;
    this.#seen(); // which looks for what came since the page was read
  }

  async more(): Promise<void> {
    if (this.busy || this.before === null) return;
    const number = this.#number;
    this.busy = true;
    try {
      const page = (await ask(recordListDocument, { filter: this.#filter(), last: PAGE, before: this.before })).records;
      if (number !== this.#number) return;
      this.rows = [...this.rows, ...page.rows];
      this.before = page.before;
      this.scannedTo = page.scannedTo;
    } catch (cause) {
      if (number === this.#number) this.failure = asFailure(cause);
    }
    this.busy = false;
  }

  /** Puts what waits on top of the list; with more than fifty the list starts anew. */
  show(): void {
    if (this.waiting.length >= MOST_WAITING) void this.restart();
    else {
      this.rows = [...this.waiting, ...this.rows];
      this.waiting = [];
    }
  }

  stop(): void {
    this.#number += 1;
    removeEventListener('visibilitychange', this.#seen);
    this.#live?.abort();
  }

  /** Follows while the page can be seen. */
  #seen = (): void => {
    this.#live?.abort();
    if (document.hidden) return;
    this.#live = new AbortController();
    void this.#follow(this.#live.signal);
  };

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.loaded) await this.#look(signal);
      try {
        const filter = this.#filter();
        await listen(recordLiveDocument, { filter }, (event) => this.#came(event.recordAdded), signal);
      } catch {
        // what came meanwhile is looked up before it listens again
      }
      await new Promise((again) => setTimeout(again, AGAIN_MS));
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    try {
      const page = (await ask(recordListDocument, { filter: this.#filter(), last: MOST_WAITING }, signal)).records;
      this.#hold(page.rows);
      this.failure = null;
    } catch (cause) {
      if (!signal.aborted) this.failure = asFailure(cause);
    }
  }

  #came(row: Row): void {
    if (this.waiting.every((each) => each.spanId !== row.spanId)) this.#hold([row, ...this.waiting]);
  }

  #hold(rows: readonly Row[]): void {
    const known = this.rows.slice(0, 2 * MOST_WAITING).map((each) => each.spanId);
    this.waiting = rows.filter((each) => !known.includes(each.spanId)).slice(0, MOST_WAITING);
  }
}
