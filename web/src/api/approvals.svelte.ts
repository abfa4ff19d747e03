// What waits for a decision of a person: told by the server as it changes, to the Inbox and the number beside its link.
import { asFailure, type Failure } from './failure';
import { ask } from './graphql';
import { listen } from './live';
import { approvalListDocument, approvalsLiveDocument, type Approval } from './queries';

const AGAIN_MS = 5_000;

class Approvals {
  /** Null until the server has told. */
  waiting = $state.raw<readonly Approval[] | null>(null);
  failure = $state.raw<Failure | null>(null);
  #stop: AbortController | null = null;

  /** Follows until `stop`, while the page can be seen. */
  follow(): void {
    addEventListener('visibilitychange', this.#seen);
    this.#seen();
  }

  stop(): void {
    removeEventListener('visibilitychange', this.#seen);
    this.#stop?.abort();
  }

  /** Asks once: after a decision, or where no socket can be opened. */
  async look(): Promise<void> {
    try {
      this.#took((await ask(approvalListDocument, {})).waiting);
    } catch (cause) {
      this.failure = asFailure(cause);
    }
  }

  #seen = (): void => {
    this.#stop?.abort();
    if (document.hidden) return;
    this.#stop = new AbortController();
    void this.#listen(this.#stop.signal);
  };

  async #listen(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await listen(approvalsLiveDocument, {}, (event) => this.#took(event.approvalsChanged), signal);
      } catch {
        if (!signal.aborted) await this.look();
      }
      await new Promise((again) => setTimeout(again, AGAIN_MS));
    }
  }

  #took(waiting: readonly Approval[]): void {
    this.waiting = waiting;
    this.failure = null;
  }
}

export const approvals = new Approvals();
