// The platform underneath: bindings of a Worker as this runtime uses them; the same in workerd and at Cloudflare.

export interface Kv {
  get(key: string, options?: { type?: 'text' | 'json'; cacheTtl?: number }): Promise<unknown>;
  put(key: string, value: string, options?: { expirationTtl?: number }): Promise<void>;
  delete(key: string): Promise<void>;
  list(options: { prefix: string; limit: number }): Promise<{ keys: { name: string }[] }>;
}

export interface RateLimiter {
  limit(options: { key: string }): Promise<{ success: boolean }>;
}

export interface WorkersAi {
  run(model: string, input: Record<string, unknown>): Promise<unknown>;
}

/** Secrets are strings under their own names. */
export interface Env {
  KEYS?: Kv;
  LIMITER?: RateLimiter;
  AI?: WorkersAi;
  [secret: string]: unknown;
}

export interface Context {
  waitUntil(work: Promise<unknown>): void;
}

/** The text of a secret; empty: the Worker has none of this name. */
export function secretOf(env: Env, name: string): string {
  const found = name ? env[name] : '';
  return typeof found === 'string' ? found : '';
}
