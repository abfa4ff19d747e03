// Asks /graphql one question; waits for a new sign-in where the session has ended; knows no page.
import type { Document } from './document';
import { asFailure, Failure, failureOf } from './failure';
import { ofProxy, reach } from './reach.svelte';
import { session } from './session.svelte';

interface Answer<T> {
  data?: T | null;
  errors?: { message: string }[];
  error?: { message: string };
}

/** The whole data of a document. Throws Failure; an abort throws what `signal` holds. */
export async function ask<Result, Variables>(
  document: Document<Result, Variables>,
  variables: Variables,
  signal?: AbortSignal,
): Promise<Result> {
  await session.entered();
  const answer = await send(document, variables, signal);
  if (answer.status === 401) {
    session.expire();
    await session.entered();
    return read(await send(document, variables, signal));
  }
  return read<Result>(answer);
}

async function send(
  document: Document<never, never> | { text: string },
  variables: unknown,
  signal?: AbortSignal,
): Promise<Response> {
  try {
    return await fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json', ...session.headers },
      body: JSON.stringify({ query: document.text, variables }),
      signal: signal ?? null,
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    void reach.lost();
    throw asFailure(cause);
  }
}

async function read<Result>(answer: Response): Promise<Result> {
  let said: Answer<Result>;
  try {
    said = (await answer.json()) as Answer<Result>;
  } catch (cause) {
    if (ofProxy(answer.status)) {
      void reach.lost();
      throw asFailure(cause);
    }
    throw new Failure(`The server answered ${answer.status}.`, 'Try again in a moment.', '', answer.status);
  }
  const wrong = said.errors?.[0] ?? said.error;
  if (wrong) throw failureOf(wrong, answer.status);
  if (!said.data) throw new Failure('The answer holds no data.', '', '', answer.status);
  return said.data;
}
