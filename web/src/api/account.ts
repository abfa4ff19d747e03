// Sends to /auth/..., for one's own account; throws Failure; knows no page.
import { asFailure, failureOf } from './failure';
import { session } from './session.svelte';

/** POST with a body, otherwise GET. */
export async function account<T>(path: string, body?: Record<string, string>): Promise<T> {
  const told = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  let answer: Response;
  try {
    answer = await fetch(`/auth/${path}`, {
      headers: { 'content-type': 'application/json', ...session.headers },
      ...told,
    });
  } catch (cause) {
    throw asFailure(cause);
  }
  const said = (await answer.json()) as T & { error?: { message: string; hint: string; code: string } };
  if (!answer.ok) throw failureOf(said.error ?? {}, answer.status);
  return said;
}
