// The list of records: pages by keyset, and what arrives meanwhile held back until it is asked for.
import { asFailure, type Failure } from '../api/failure';
import { ask } from '../api/graphql';
import { recordListDocument, type RecordRow } from './queries';

export type Row = RecordRow;

const PAGE = 100;
const TAIL_MS = 2_000;
const MOST_WAITING = 50;

export class RecordRows {
  rows = $state.raw<readonly Row[]>([]);
  /** Arrived since the list was drawn, newest first; at most fifty, then there are more. */
  waiting = $state.raw<readonly Row[]>([]);
  before = $state.raw<string | null>(null);
  scannedTo = $state.raw<number | null>(null);
  loaded = $state(false);
  busy = $state(false);
  failure = $state.raw<Failure | null>(null);
  #filter: () => Record<string, string | number | boolean>;
  #number = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(filter: () => Record<string, string | number | boolean>) {
    this.#filter = filter;
  }

  /** The first page, from now. */
  async restart(): Promise<void> {
    const number = ++this.#number;
    this.busy = true;
    try {
      const page = (await ask(recordListDocument, { filter: this.#filter(), last: PAGE })).records;
      if (number !== this.#number) return;
      this.rows = page.rows;
      this.waiting = [];
      this.before = page.before;
      this.scannedTo = page.scannedTo;
      this.failure = null;
      this.loaded = true;
    } catch (cause) {
      if (number === this.#number) this.failure = asFailure(cause);
    }
    this.busy = false;
    this.#follow();
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
    clearTimeout(this.#timer);
  }

  #follow(): void {
    clearTimeout(this.#timer);
    const number = this.#number;
    this.#timer = setTimeout(async () => {
      if (!document.hidden && this.loaded) await this.#look(number);
      if (number === this.#number) this.#follow();
    }, TAIL_MS);
  }

  async #look(number: number): Promise<void> {
    try {
      const rows = (await ask(recordListDocument, { filter: this.#filter(), last: MOST_WAITING })).records.rows;
      if (number !== this.#number) return;
      const known = this.rows.slice(0, 2 * MOST_WAITING).map((each) => each.spanId);
      this.waiting = rows.filter((each) => !known.includes(each.spanId));
      this.failure = null;
    } catch (cause) {
      if (number === this.#number) this.failure = asFailure(cause);
    }
  }
}
