// Errors with the gateway's codes, statuses and words, in the shape of OpenAI's API; no secret or prompt in them.

interface Kind {
  status: number;
  type: string;
}

const INVALID = 'invalid_request_error';
/** As in sizewise/errors.py; a test compares the two. */
export const KINDS = {
  bad_request: { status: 400, type: INVALID },
  bad_body: { status: 400, type: INVALID },
  context_length_exceeded: { status: 400, type: INVALID },
  guard_blocked: { status: 400, type: INVALID },
  body_too_large: { status: 413, type: INVALID },
  invalid_api_key: { status: 401, type: 'authentication_error' },
  over_budget: { status: 402, type: 'insufficient_quota' },
  forbidden: { status: 403, type: 'permission_error' },
  model_not_found: { status: 404, type: INVALID },
  not_found: { status: 404, type: INVALID },
  no_model_fits: { status: 422, type: INVALID },
  not_trusted: { status: 422, type: INVALID },
  busy: { status: 429, type: 'rate_limit_error' },
  invalid_output: { status: 502, type: 'api_error' },
  upstream_error: { status: 502, type: 'api_error' },
  upstream_refused: { status: 400, type: INVALID },
  upstream_unreachable: { status: 502, type: 'api_error' },
  upstream_garbled: { status: 502, type: 'api_error' },
  upstream_busy: { status: 503, type: 'api_error' },
  insufficient_quota: { status: 429, type: 'insufficient_quota' },
  upstream_timeout: { status: 504, type: 'api_error' },
  stream_interrupted: { status: 502, type: 'api_error' },
  model_unavailable: { status: 503, type: 'api_error' },
  internal_error: { status: 500, type: 'api_error' },
} satisfies Record<string, Kind>;

export type Code = keyof typeof KINDS;

export interface Details {
  param?: string | null;
  retryAfter?: number | null;
  status?: number;
  type?: string;
  shownCode?: string;
  retryable?: boolean;
}

export class EdgeError extends Error {
  /** What the answer's headers say besides: of a request that was understood, what it cost. */
  readonly headers: Record<string, string> = {};
  readonly status: number;
  readonly type: string;
  readonly param: string | null;
  readonly retryAfter: number | null;
  readonly shownCode: string;
  readonly retryable: boolean;

  constructor(
    readonly code: Code,
    message: string,
    readonly hint = '',
    details: Details = {},
  ) {
    super(message);
    const kind: Kind = KINDS[code];
    this.status = details.status ?? kind.status;
    this.type = details.type ?? kind.type;
    this.param = details.param ?? null;
    this.retryAfter = details.retryAfter ?? null;
    this.shownCode = details.shownCode || code;
    this.retryable = details.retryable ?? (code === 'upstream_unreachable' || code === 'upstream_busy');
  }

  /** The error object of OpenAI's API. */
  body(): string {
    const { message, type, param, hint, shownCode, code } = this;
    return JSON.stringify({ error: { message, type, param, code: shownCode, hint, docs: `docs/errors/${code}.md` } });
  }
}

/** Any failure as an EdgeError: what is not one is a fault of ours, and its text could hold a prompt. */
export function asEdgeError(fault: unknown, trace: string): EdgeError {
  if (fault instanceof EdgeError) return fault;
  return new EdgeError('internal_error', 'internal error', `report it with the trace ${trace}`);
}
