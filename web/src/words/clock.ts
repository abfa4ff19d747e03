// The time of day, read again each second while something on the page shows it.
import { createSubscriber } from 'svelte/reactivity';

const EVERY_MS = 1_000;
const tick = createSubscriber((update) => {
  const timer = setInterval(update, EVERY_MS);
  return () => clearInterval(timer);
});

/** Unix ms; what depends on it is drawn again each second. */
export function clock(): number {
  tick();
  return Date.now();
}
