// One column of Play: asks a model, gathers its words and attempts as they come, then what the record says of them.
import { asFailure, type Failure } from '../api/failure';
import { ask } from '../api/graphql';
import { listen } from '../api/live';
import { session } from '../api/session.svelte';
import type { Attempt } from '../kit/attempts';
import { clock } from '../words/clock';
import { playAskDocument, playExplainDocument, playRecordDocument, type PlayAsk, type PlayExplain } from './queries';
import { variables, type Wishes } from './wishes';

type Chunk = PlayAsk['ask'];
export type Answer = NonNullable<Chunk['answer']>;
export type Explained = PlayExplain['explain'];
type Wanted = { prompt: string; model: string } & ReturnType<typeof variables>;
type State = 'idle' | 'running' | 'done' | 'stopped' | 'failed';

const RECORD_WAITS_MS = [60, 200, 600, 1500];

export class Asking {
  state = $state<State>('idle');
  text = $state('');
  thought = $state('');
  stage = $state('');
  attempts = $state.raw<readonly Attempt[]>([]);
  answer = $state.raw<Answer | null>(null);
  explained = $state.raw<Explained | null>(null);
  failure = $state.raw<Failure | null>(null);
  firstMs = $state<number | null>(null);
  totalMs = $state<number | null>(null);
  #stop: AbortController | null = null;
  #started = 0;

  async run(model: string, prompt: string, wishes: Wishes): Promise<void> {
    this.stop();
    const stop = (this.#stop = new AbortController());
    this.#clear();
    this.state = 'running';
    const wanted = { prompt, model, ...variables(wishes) };
    if (!model.startsWith('flow:')) void this.#explain(wanted, stop.signal); // a flow is no choice among models
    try {
      await listen(playAskDocument, wanted, (event) => this.#heard(event.ask), stop.signal);
      if (stop.signal.aborted) return;
      this.state = this.answer ? 'done' : 'stopped';
      if (this.answer) await this.#read(this.answer.trace, stop.signal);
    } catch (cause) {
      if (stop.signal.aborted) return;
      this.failure = asFailure(cause);
      this.state = 'failed';
    }
  }

  /** The attempts, where the one that goes on lasts until now. */
  get soFar(): readonly Attempt[] {
    const last = this.attempts.at(-1);
    if (this.state !== 'running' || !last) return this.attempts;
    clock();
    return [...this.attempts.slice(0, -1), { ...last, endedMs: this.#now() }];
  }

  /** Stops the model: the server cancels it when the stream ends. */
  stop(): void {
    if (this.state === 'running') {
      this.state = 'stopped';
      this.totalMs = this.#now();
      this.#change({ result: 'cancelled', endedMs: this.#now() });
    }
    this.#stop?.abort();
  }

  #clear(): void {
    this.#started = performance.now();
    this.text = this.thought = this.stage = '';
    this.attempts = [];
    this.answer = this.explained = this.failure = null;
    this.firstMs = this.totalMs = null;
  }

  #now(): number {
    return performance.now() - this.#started;
  }

  #heard(chunk: Chunk): void {
    if (chunk.attempt) this.#began(chunk.attempt);
    if (chunk.text) {
      this.firstMs ??= this.#now();
      this.stage = '';
      this.#change({ firstTokenMs: this.attempts.at(-1)?.firstTokenMs ?? this.#now(), endedMs: this.#now() });
      this.text += chunk.text;
    }
    this.thought += chunk.reasoning;
    if (chunk.answer) {
      this.answer = chunk.answer;
      this.totalMs = this.#now();
      this.stage = '';
      this.#change({ result: 'answered', endedMs: this.#now() });
    }
  }

  #began(progress: NonNullable<Chunk['attempt']>): void {
    const now = this.#now();
    if (progress.stage === 'attempt') {
      this.#change({ result: this.attempts.at(-1)?.result === 'judging' ? 'distrusted' : 'failed', endedMs: now });
      const { model, why } = progress;
      const begun = { number: this.attempts.length + 1, model, why, result: 'asking', startedMs: now };
      this.attempts = [...this.attempts, { ...begun, firstTokenMs: null, endedMs: now }];
      this.stage = progress.held ? `${model} answers; its answer is held until it is judged` : `${model} answers`;
    } else if (progress.stage === 'verification') {
      this.#change({ result: 'judging', endedMs: now });
      this.stage = `${progress.model} judges the answer`;
    } else {
      this.stage = {
        loading: `loading ${progress.model}`,
        queued: `waiting for ${progress.model}`,
        step: 'a step runs',
      }[progress.stage];
    }
  }

  #change(change: Partial<Attempt>): void {
    const last = this.attempts.at(-1);
    if (last) this.attempts = [...this.attempts.slice(0, -1), { ...last, ...change }];
  }

  /** The record's own times and costs, once it is written. */
  async #read(trace: string, signal: AbortSignal): Promise<void> {
    if (!session.may(['read_records'])) return;
    for (const wait of RECORD_WAITS_MS) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      if (signal.aborted) return;
      const row = (await ask(playRecordDocument, { trace }, signal)).records.rows[0];
      if (!row) continue;
      this.attempts = row.attempts;
      this.totalMs = row.totalMs;
      this.firstMs = row.firstTokenMs ?? this.firstMs;
      return;
    }
  }

  async #explain(wanted: Wanted, signal: AbortSignal): Promise<void> {
    try {
      this.explained = (await ask(playExplainDocument, wanted, signal)).explain;
    } catch {
      // The answer, or its refusal, says the same.
    }
  }
}
