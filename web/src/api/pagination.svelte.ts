// A list by keyset: its first part, and more of it one part at a time; knows no page.
import { asFailure, type Failure } from './failure';
import { Load } from './load.svelte';

export interface Part<Row, Cursor> {
  rows: readonly Row[];
  /** Where the part after it begins; null: this is the last. */
  next: Cursor | null;
  /** How far back was searched, in unix ms, where a search may end before the rows do. */
  scannedTo?: number | null;
}

type Ask<Row, Cursor> = (after: Cursor | null, signal?: AbortSignal) => Promise<Part<Row, Cursor>>;

export class PaginatedList<Row, Cursor> {
  readonly first: Load<Part<Row, Cursor>>;
  /** Why no more came. */
  failure = $state.raw<Failure | null>(null);
  #more = $state.raw<readonly Part<Row, Cursor>[]>([]);
  #asks = $state(false);
  #number = 0;

  readonly rows = $derived.by(() => this.#parts().flatMap((each) => each.rows));

  constructor(private readonly ask: Ask<Row, Cursor>) {
    this.first = new Load((signal) => this.#begin(signal));
  }

  get next(): Cursor | null {
    return this.#parts().at(-1)?.next ?? null;
  }

  get scannedTo(): number | null {
    return this.#parts().at(-1)?.scannedTo ?? null;
  }

  get busy(): boolean {
    return this.#asks || this.first.busy;
  }

  /** The first part anew; the list ends with it once it is here. */
  async run(): Promise<void> {
    await this.first.run();
  }

  async more(): Promise<void> {
    const after = this.next;
    if (this.busy || after === null) return;
    if (this.first.failure) return this.run();
    const number = this.#number;
    this.#asks = true;
    this.failure = null;
    try {
      const part = await this.ask(after);
      if (number !== this.#number) return;
      this.#more = [...this.#more, part];
    } catch (cause) {
      if (number !== this.#number) return;
      this.failure = asFailure(cause);
    }
    this.#asks = false;
  }

  async #begin(signal: AbortSignal): Promise<Part<Row, Cursor>> {
    const number = ++this.#number;
    this.#asks = false;
    this.failure = null;
    const part = await this.ask(null, signal);
    if (number === this.#number) this.#more = [];
    return part;
  }

  #parts(): readonly Part<Row, Cursor>[] {
    return this.first.data ? [this.first.data, ...this.#more] : [];
  }
}
