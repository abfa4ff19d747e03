// The state of a batch as words and the shape that they have; pure.
import { count } from '../words/size';
import type { BatchRow } from './queries';

const ENDED = ['completed', 'failed', 'expired', 'cancelled'];
const RUNNING: Record<string, string> = {
  validating: 'checking the file',
  in_progress: 'running',
  finalizing: 'writing files',
  cancelling: 'stopping',
};

type Known = Pick<BatchRow, 'status' | 'failed'>;

export function isOver(batch: Known): boolean {
  return ENDED.includes(batch.status);
}

/** A batch with failures has no tick. */
export function state(batch: Known): { state: string; as: string } {
  const running = RUNNING[batch.status];
  if (running) return { state: running, as: 'running' };
  if (batch.status !== 'completed') return { state: batch.status, as: batch.status };
  return batch.failed > 0
    ? { state: `done, ${count(batch.failed)} failed`, as: 'partly' }
    : { state: 'done', as: 'done' };
}

/** `batch_0123…` as people tell batches apart. */
export function batchName(id: string): string {
  return id.replace(/^batch_/, '').slice(0, 8);
}
