// Times and durations as people read them; `unknown` is a word, never 0.
import { once } from './once';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const clock = format({ hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const day = format({ day: 'numeric', month: 'short' });
const full = format({ dateStyle: 'medium', timeStyle: 'medium' });

function format(options: Intl.DateTimeFormatOptions): (date: Date) => string {
  const made = once(() => new Intl.DateTimeFormat(undefined, options));
  return (date) => made().format(date);
}

/** `at` in unix ms: the time of today, or day and time. */
export function moment(at: number, now = Date.now()): string {
  const date = new Date(at);
  const today = new Date(now).toDateString() === date.toDateString();
  return today ? clock(date) : `${day(date)} ${clock(date).slice(0, 5)}`;
}

export function whole(at: number): string {
  return full(new Date(at));
}

export function ago(at: number, now = Date.now()): string {
  const past = now - at;
  if (past < MINUTE) return 'just now';
  if (past < HOUR) return `${Math.floor(past / MINUTE)} min ago`;
  if (past < DAY) return `${Math.floor(past / HOUR)} h ago`;
  const days = Math.floor(past / DAY);
  return days === 1 ? 'yesterday' : `${days} days ago`;
}

/** `ms` -> `840 ms`, `2.4 s`, `3 min 20 s`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return 'unknown';
  // What is rounded to a larger unit is told in it: never 1000 ms or 3 min 60 s.
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_995) return `${(ms / SECOND).toFixed(2)} s`;
  if (ms < 59_950) return `${(ms / SECOND).toFixed(1)} s`;
  const seconds = Math.round(ms / SECOND);
  if (seconds < 3_600) return both(Math.floor(seconds / 60), 'min', seconds % 60, 's');
  const minutes = Math.round(ms / MINUTE);
  return both(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
}

/** What is left of `total` after `done` in `ms`, as a range; empty if that is too little to tell. */
export function remaining(ms: number, done: number, total: number): string {
  if (done < 3 || total <= done) return '';
  const rest = (ms / done) * (total - done);
  return `about ${duration(0.7 * rest)} to ${duration(1.5 * rest)} left`;
}

function both(large: number, of: string, small: number, unit: string): string {
  return small > 0 ? `${large} ${of} ${small} ${unit}` : `${large} ${of}`;
}
