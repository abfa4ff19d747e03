// The state of what a page asks for: loading, failed with the last good data kept, or there; knows no page.
import { asFailure, type Failure } from './failure';

export class Load<T> {
  data = $state.raw<T | null>(null);
  failure = $state.raw<Failure | null>(null);
  busy = $state(false);
  /** When `data` came, in unix ms; 0: never. */
  at = $state(0);
  #number = 0;
  #stop: AbortController | null = null;

  constructor(private readonly ask: (signal: AbortSignal) => Promise<T>) {}

  /** Asks; the newest call wins. */
  async run(): Promise<void> {
    const number = ++this.#number;
    this.#stop?.abort();
    const stop = (this.#stop = new AbortController());
    this.busy = true;
    try {
      const data = await this.ask(stop.signal);
      if (number !== this.#number) return;
      this.data = data;
      this.failure = null;
      this.at = Date.now();
    } catch (cause) {
      if (number !== this.#number || stop.signal.aborted) return;
      this.failure = asFailure(cause);
    }
    this.busy = false;
  }

  set(data: T): void {
    this.data = data;
    this.at = Date.now();
  }

  stop(): void {
    this.#number += 1;
    this.#stop?.abort();
  }
}
