// One socket for all that streams; a subscription ends with its signal, and the server then stops the model.
import { createClient } from 'graphql-ws';
import type { Document } from './document';
import { asFailure, Failure, failureOf } from './failure';
import { reach } from './reach.svelte';
import { session } from './session.svelte';

const FORBIDDEN = 4403;

const client = createClient({
  url: () => `${location.origin.replace(/^http/, 'ws')}/graphql`,
  connectionParams: () => session.headers,
  lazy: true,
  lazyCloseTimeout: 10_000,
  retryAttempts: 0,
});

/** Calls `next` with each event. Resolves when the stream ends or `signal` aborts; throws Failure. */
export function listen<Result, Variables extends object>(
  document: Document<Result, Variables>,
  variables: Variables,
  next: (event: Result) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = client.subscribe<Result>(
      { query: document.text, variables: variables as Record<string, unknown> },
      {
        next: (event) => {
          if (event.errors?.[0]) reject(failureOf(event.errors[0]));
          else if (event.data) next(event.data);
        },
        error: (cause) => reject(failed(cause)),
        complete: resolve,
      },
    );
    if (signal.aborted) stop();
    signal.addEventListener('abort', () => stop(), { once: true });
  });
}

function failed(cause: unknown): Failure {
  if (Array.isArray(cause)) return failureOf(cause[0] as { message: string });
  if (cause instanceof CloseEvent) {
    if (cause.code === FORBIDDEN) {
      session.expire();
      return new Failure('The session has ended.', 'Sign in and ask again.', 'session_ended', 401);
    }
    void reach.lost();
    return new Failure('The connection was closed.', cause.reason || 'Ask again.', 'closed');
  }
  void reach.lost();
  return asFailure(cause);
}
