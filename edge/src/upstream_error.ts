// An upstream's error as ours: what concerns our key is hidden, what concerns the request is passed on.

import { EdgeError } from './errors.js';

const QUOTA = ['insufficient_quota', 'billing_hard_limit_reached'];
const GENERIC = ['api_error', 'bad_request', 'invalid_request_error', 'server_error', 'unknown_error'];
const PLAIN_CODE = /^[a-z]+(?:_[a-z]+){0,7}$/;
const MAX_WORDS = 500;
/** Statuses that tell of the request, which the client may see as they are. */
const KEPT = [400, 404, 409, 413, 415, 422];

interface Detail {
  message?: unknown;
  code?: unknown;
  type?: unknown;
  param?: unknown;
}

export function upstreamError(status: number, retryAfter: string | null, body: string): EdgeError {
  const detail = read(body);
  const said = typeof detail.message === 'string' ? detail.message.slice(0, MAX_WORDS) : '';
  if ([401, 402, 403, 407].includes(status)) {
    const words = `the upstream rejected the API key (HTTP ${status})`;
    return new EdgeError('upstream_error', words, 'check `key` in [providers.NAME]');
  }
  const wait = /^\d+$/.test(retryAfter?.trim() ?? '') ? Math.min(Number(retryAfter), 86_400) : null;
  if (QUOTA.includes(String(detail.code)) || QUOTA.includes(String(detail.type))) {
    const words = 'the quota of the upstream account is used up';
    return new EdgeError('insufficient_quota', words, 'check plan and billing of [providers.NAME]', {
      retryAfter: wait,
    });
  }
  const client = status >= 400 && status < 500;
  const words = client && said ? said : `HTTP ${status}`;
  if ([429, 503, 529].includes(status)) {
    const busy = status === 429 ? { status: 429, type: 'rate_limit_error' } : {};
    return new EdgeError('upstream_busy', `the upstream is busy: ${words}`, 'try again later', {
      ...busy,
      retryAfter: wait,
      shownCode: codeOf(detail),
    });
  }
  const long = String(detail.code).includes('context') || said.includes('context length');
  if (long || String(detail.type).includes('exceed_context_size')) {
    const fits = client ? words : "the prompt does not fit in the model's context window";
    return new EdgeError(
      'context_length_exceeded',
      fits,
      'shorten the prompt, or use a model with a larger context window',
    );
  }
  if (client && status !== 408) {
    return new EdgeError('upstream_refused', words, 'the upstream rejected this request', {
      status: KEPT.includes(status) ? status : 400,
      param: typeof detail.param === 'string' ? detail.param.slice(0, 200) : null,
      shownCode: codeOf(detail),
    });
  }
  if (status >= 300 && status < 400) {
    const words = `the upstream redirected the request (HTTP ${status}); redirects are not followed`;
    return new EdgeError('upstream_error', words, 'fix `base_url` in [providers.NAME]');
  }
  const hint = 'try again, or use another model';
  return new EdgeError('upstream_error', `the upstream failed: ${words}`, hint, { retryable: true });
}

function codeOf({ code }: Detail): string {
  return typeof code === 'string' && PLAIN_CODE.test(code) && !GENERIC.includes(code) ? code : '';
}

function read(body: string): Detail {
  try {
    const seen = JSON.parse(body) as { error?: Detail | string; message?: string } | null;
    if (typeof seen?.error === 'object' && seen.error !== null) return seen.error;
    return { message: (typeof seen?.error === 'string' ? seen.error : '') || seen?.message || '' };
  } catch {
    return {};
  }
}

export function garbled(why: string): EdgeError {
  const words = `the upstream's response violates the protocol: ${why}`;
  return new EdgeError('upstream_garbled', words, 'check what is served at `base_url` in [providers.NAME]');
}
