// A trial of the text: what each node does as it happens, painted once a frame; nothing is published or stored.
import { asFailure, type Failure } from '../../api/failure';
import { listen } from '../../api/live';
import { sum } from '../../words/money';
import { flowTestDocument, type FlowTest } from '../queries';

export type Told = FlowTest['testFlow'];
export interface NodeState extends Told {
  began: number;
  /** When it was heard that it runs, by this machine's clock. */
  since: number;
  /** Rounds of `each` and `loop` that are done. */
  rounds: number;
}
export interface Wanted {
  text: string;
  inputs: Record<string, unknown>;
  pins: Record<string, unknown>;
  fromRun: string;
  nodes: string[];
  allowSideEffects: boolean;
}

export class Trial {
  /** What was typed for the next one, by input; the run whose values it takes; whether it may change things outside. */
  inputs = $state<Record<string, string>>({});
  fromRun = $state('');
  effects = $state(false);
  running = $state(false);
  states = $state.raw<ReadonlyMap<string, NodeState>>(new Map());
  /** The flow's words as they stream. */
  words = $state('');
  end = $state.raw<Told | null>(null);
  failure = $state.raw<Failure | null>(null);
  #stop: AbortController | null = null;
  #waiting: Told[] = [];
  #frame = 0;

  async run(wanted: Wanted): Promise<void> {
    this.stop();
    const stop = (this.#stop = new AbortController());
    this.states = new Map();
    this.words = '';
    this.end = this.failure = null;
    this.running = true;
    try {
      await listen(flowTestDocument, wanted, ({ testFlow }) => this.#heard(testFlow), stop.signal);
    } catch (cause) {
      if (!stop.signal.aborted) this.failure = asFailure(cause);
    }
    this.#paint();
    if (this.#stop === stop) this.running = false;
  }

  stop(): void {
    this.#stop?.abort();
    this.running = false;
  }

  /** What all nodes cost together: null where a price is unknown. */
  get cost(): string | null {
    return this.end ? this.end.costUsd : sum([...this.states.values()].map((each) => each.costUsd));
  }

  #heard(told: Told): void {
    this.#waiting.push(told);
    this.#frame ||= requestAnimationFrame(() => this.#paint());
  }

  #paint(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#waiting.length === 0) return;
    const states = new Map(this.states);
    for (const told of this.#waiting.splice(0)) {
      if (told.key === '') {
        if (told.state === 'text') this.words += told.text;
        else this.end = told;
        continue;
      }
      const id =
        told.key
          .split('.')
          .at(-1)
          ?.replace(/\[\d+\]$/, '') ?? told.key;
      const before = states.get(id);
      const began = told.state === 'running' ? told.at : (before?.began ?? told.at);
      const rounds = (before?.rounds ?? 0) + (told.state === 'done' ? 1 : 0);
      const since = told.state === 'running' ? Date.now() : (before?.since ?? Date.now());
      states.set(id, { ...told, began, since, rounds });
    }
    this.states = states;
  }
}
