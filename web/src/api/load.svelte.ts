// The state of what a page asks for: loading, failed with the last good data kept, or there; knows no page.
import { asFailure, type Failure } from './failure';
import { reach } from './reach.svelte';

const MOST_MS = 60_000;

export class Load<T> {
  data = $state.raw<T | null>(null);
  failure = $state.raw<Failure | null>(null);
  busy = $state(false);
  /** When `data` came, in unix ms; 0: never. */
  at = $state(0);
  #number = 0;
  #stop: AbortController | null = null;
  #tries = 0;

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
      this.#tries = 0;
      this.at = Date.now();
    } catch (cause) {
      if (number !== this.#number || stop.signal.aborted) return;
      this.failure = asFailure(cause);
      if (this.failure.code === 'unreachable') void this.#again(number);
    }
    this.busy = false;
  }

  /** Once the server is back, unless it was asked anew meanwhile; later each time, since this question may be what ends it. */
  async #again(number: number): Promise<void> {
    await reach.back();
    await new Promise((go) => setTimeout(go, Math.min(500 * 2 ** this.#tries++, MOST_MS)));
    if (number === this.#number) await this.run();
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
