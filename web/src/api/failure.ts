// What went wrong, in the server's words with its hint; knows no page.

export class Failure extends Error {
  constructor(
    message: string,
    readonly hint = '',
    readonly code = '',
    readonly status = 0,
  ) {
    super(message);
    this.name = 'Failure';
  }
}

interface Said {
  message?: string;
  hint?: string;
  code?: string;
  extensions?: { hint?: string; code?: string; status?: number };
}

/** From an entry of GraphQL's `errors`, or from the `error` of a REST answer. */
export function failureOf(said: Said, status = 0): Failure {
  const more = said.extensions ?? {};
  const code = more.code ?? said.code ?? '';
  return new Failure(said.message ?? 'The request failed.', more.hint ?? said.hint ?? '', code, more.status ?? status);
}

export function asFailure(cause: unknown): Failure {
  if (cause instanceof Failure) return cause;
  return new Failure('The server did not respond.', 'Check that it is running, then try again.', 'unreachable');
}
