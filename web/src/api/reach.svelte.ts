// Whether the server answers: once it does not, asks again with growing pauses until it does; knows no page.

const FIRST_MS = 1_000;
const MOST_MS = 15_000;

class Reach {
  down = $state(false);
  /** When it is asked again, in unix ms. */
  next = $state(0);
  #looking = false;
  #waiting: ((away: boolean) => void)[] = [];
  #hurry: () => void = () => undefined;

  /** A request or a stream has failed: looks whether the server is there, until it is. Returns whether it was away. */
  async lost(): Promise<boolean> {
    if (this.#looking) return this.back();
    this.#looking = true;
    for (let pause = FIRST_MS; !(await answers()); pause = Math.min(2 * pause, MOST_MS)) {
      this.down = true;
      this.next = Date.now() + pause;
      await new Promise<void>((again) => {
        this.#hurry = again;
        setTimeout(again, pause);
      });
    }
    const away = this.down;
    this.#looking = this.down = false;
    for (const go of this.#waiting.splice(0)) go(away);
    return away;
  }

  /** Asks now, not when the pause ends. */
  hurry(): void {
    this.#hurry();
  }

  /** Resolves once the server answers again, with whether it was away. */
  async back(): Promise<boolean> {
    return this.#looking ? new Promise((go) => this.#waiting.push(go)) : false;
  }
}

/** Of a proxy whose server is not there. */
export function ofProxy(status: number): boolean {
  return status >= 502 && status <= 504;
}

async function answers(): Promise<boolean> {
  try {
    return !ofProxy((await fetch('/healthz', { cache: 'no-store' })).status);
  } catch {
    return false;
  }
}

export const reach = new Reach();
