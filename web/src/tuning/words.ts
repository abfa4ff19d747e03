// The state of a tuning run as the shapes of kit/State.svelte know it, and what a training took beside its estimate; pure.
import { bytes } from '../words/size';
import { duration } from '../words/time';
import type { TuningRunDetail } from './queries';

export type Run = NonNullable<TuningRunDetail['tuningRun']>;
type Cost = Pick<NonNullable<Run['measured']>, 'cpuSeconds' | 'bytes'>;

/** A run that another command trains is in training too, though this server does not run it. */
export function tone(run: Pick<Run, 'state' | 'isRunning' | 'failure'>): string {
  if (run.isRunning) return 'running';
  if (run.failure) return 'failed';
  return { training: 'paused', trained: 'done', promoted: 'live', refused: 'fail' }[run.state] ?? run.state;
}

export function cost(its: Cost | null): string {
  if (!its) return 'not measured';
  const memory = its.bytes === null ? 'memory not measured yet' : `${bytes(its.bytes)} of memory`;
  return `${duration(1000 * its.cpuSeconds)} of processor time, ${memory}`;
}
