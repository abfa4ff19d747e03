// What is drawn of the attempts of one request: bars on one time axis, and words; pure.

export interface Attempt {
  number: number;
  model: string;
  result: string;
  why: string;
  score?: number | null;
  error?: string;
  costUsd?: string | null;
  startedMs: number;
  firstTokenMs: number | null;
  endedMs: number;
}

/** A mark for the result: shape and word, so that nothing depends on color. */
export const RESULTS: Record<string, { word: string; tone: 'good' | 'held' | 'bad' | 'other' }> = {
  answered: { word: 'answered', tone: 'good' },
  distrusted: { word: 'not trusted', tone: 'held' },
  failed: { word: 'failed', tone: 'bad' },
  cancelled: { word: 'cancelled', tone: 'other' },
  lost_race: { word: 'lost the race', tone: 'other' },
  judged: { word: 'judged', tone: 'other' },
  asking: { word: 'is asked', tone: 'other' },
  judging: { word: 'is judged', tone: 'held' },
};

export interface Bar {
  attempt: Attempt;
  word: string;
  tone: 'good' | 'held' | 'bad' | 'other';
  /** Per cent of the axis. */
  left: number;
  wait: number;
  width: number;
}

const LEAST = 0.8;

export function bars(attempts: readonly Attempt[], totalMs = 0): Bar[] {
  const end = Math.max(totalMs, ...attempts.map((each) => each.endedMs), 0.001);
  return attempts.map((attempt) => {
    const { word, tone } = RESULTS[attempt.result] ?? { word: attempt.result, tone: 'other' as const };
    const left = Math.min((100 * attempt.startedMs) / end, 100 - LEAST);
    const width = Math.max((100 * (attempt.endedMs - attempt.startedMs)) / end, LEAST);
    const first = attempt.firstTokenMs ?? attempt.endedMs;
    const wait = Math.max(0, Math.min(width, (100 * (first - attempt.startedMs)) / end));
    return { attempt, word, tone, left, width, wait };
  });
}
