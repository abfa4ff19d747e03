// The one module of the platform that local services import.
declare module 'cloudflare:workers' {
  export class WorkerEntrypoint<Env = unknown> {
    protected readonly env: Env;
    constructor(context: unknown, env: Env);
  }
}
