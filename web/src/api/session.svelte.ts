// Who is signed in and what they may do; the proof against forged requests is kept here and nowhere else.
import { asFailure, type Failure, failureOf } from './failure';
import { ofProxy, reach } from './reach.svelte';

export interface Who {
  session: string;
  user: string;
  email: string;
  name: string;
  organization: string;
  project: string;
  projects: string[];
  role: string;
  permissions: string[];
  csrf: string;
  expires: number;
  method?: string;
  second_factor?: string;
}

type State = 'loading' | 'in' | 'out' | 'unreachable';

const FIRST_MS = 500;
const MOST_MS = 15_000;

class Session {
  state = $state<State>('loading');
  who = $state.raw<Who | null>(null);
  #waiting: (() => void)[] = [];

  get headers(): Record<string, string> {
    return this.who ? { 'x-sizewise-csrf': this.who.csrf } : {};
  }

  /** Whether any of `permissions` is granted; without any, whether someone is signed in. */
  may(permissions: readonly string[]): boolean {
    const granted = this.who?.permissions ?? [];
    return this.who !== null && (permissions.length === 0 || permissions.some((each) => granted.includes(each)));
  }

  /** Asks until the server says who is signed in, or that nobody is. */
  async load(): Promise<void> {
    for (let pause = FIRST_MS; !(await this.#look()); pause = Math.min(2 * pause, MOST_MS)) {
      if (this.state === 'loading') this.state = 'unreachable';
      void reach.lost();
      await reach.back();
      await new Promise((again) => setTimeout(again, pause));
    }
  }

  /** Signs in. Returns what was wrong, or null. */
  async signIn(body: Record<string, string>): Promise<Failure | null> {
    return this.#post('/auth/sign-in', body);
  }

  async switchProject(project: string): Promise<Failure | null> {
    return this.#post('/auth/session', { project });
  }

  async signOut(): Promise<void> {
    await fetch('/auth/sign-out', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...this.headers },
      body: '{}',
    });
    this.who = null;
    this.state = 'out';
  }

  /** The server refused the session: the sign-in dialog opens over the page. */
  expire(): void {
    this.state = 'out';
  }

  /** Resolves once someone is signed in. */
  async entered(): Promise<void> {
    if (this.state !== 'in') await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Whether the server answered. Another error than the end of the session leaves the page as it is. */
  async #look(): Promise<boolean> {
    try {
      const answer = await fetch('/auth/session');
      if (ofProxy(answer.status)) return false;
      if (answer.ok) this.#entered((await answer.json()) as Who);
      else if (answer.status === 401 || this.who === null) this.expire();
      return true;
    } catch {
      return false;
    }
  }

  async #post(path: string, body: Record<string, string>): Promise<Failure | null> {
    try {
      const answer = await fetch(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...this.headers },
        body: JSON.stringify(body),
      });
      const said = (await answer.json()) as Who & { error?: { message: string; hint: string; code: string } };
      if (!answer.ok) return failureOf(said.error ?? {}, answer.status);
      this.#entered(said);
      return null;
    } catch (cause) {
      return asFailure(cause);
    }
  }

  #entered(who: Who): void {
    this.who = who;
    this.state = 'in';
    for (const go of this.#waiting.splice(0)) go();
  }
}

export const session = new Session();
