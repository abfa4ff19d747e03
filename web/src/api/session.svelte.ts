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

/** `moved`: the session is of another person or project than the page, which asks nothing any more. */
type State = 'loading' | 'in' | 'out' | 'moved' | 'unreachable';

const FIRST_MS = 500;
const MOST_MS = 15_000;

class Session {
  state = $state<State>('loading');
  who = $state.raw<Who | null>(null);
  /** Who the session is of, where the page has moved. */
  other = $state.raw<Who | null>(null);
  /** Who the page is of, also after they signed out: what it has read and what was typed is of their project. */
  owner: Who | null = null;
  #waiting: (() => void)[] = [];
  #look: Promise<boolean> | null = null;

  get headers(): Record<string, string> {
    const who = this.other ?? this.who;
    return who ? { 'x-sizewise-csrf': who.csrf } : {};
  }

  /** Whether any of `permissions` is granted; without any, whether someone is signed in. */
  may(permissions: readonly string[]): boolean {
    const granted = this.who?.permissions ?? [];
    return this.who !== null && (permissions.length === 0 || permissions.some((each) => granted.includes(each)));
  }

  /** Asks until the server says who is signed in, or that nobody is. */
  async load(): Promise<void> {
    for (let pause = FIRST_MS; !(await (this.#look = this.#answers())); pause = Math.min(2 * pause, MOST_MS)) {
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
    this.#left();
  }

  /** The server refused the session: the sign-in dialog opens over the page. */
  expire(): void {
    if (this.state === 'in') this.state = 'out';
  }

  /** Resolves once the one is signed in who the page is of; a look at who that is comes first. */
  async entered(): Promise<void> {
    await this.#look;
    if (this.state !== 'in') await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Whether the server answered. Another error than the end of the session leaves the page as it is. */
  async #answers(): Promise<boolean> {
    try {
      const answer = await fetch('/auth/session');
      if (ofProxy(answer.status)) return false;
      if (answer.ok) this.#entered((await answer.json()) as Who);
      else if (answer.status === 401 || this.who === null) this.#left();
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

  #left(): void {
    this.other = null;
    this.state = 'out';
  }

  #entered(who: Who): void {
    const owner = (this.owner ??= who);
    if (owner.user !== who.user || owner.project !== who.project) {
      this.other = who;
      this.state = 'moved';
      return;
    }
    this.who = who;
    this.other = null;
    this.state = 'in';
    for (const go of this.#waiting.splice(0)) go();
  }
}

export const session = new Session();
