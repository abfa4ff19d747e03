// What was typed and is not on the server: kept in memory for who typed it, while the tab lives; nothing is stored.
import { session } from './session.svelte';

const texts = new Map<string, { value: object | string; asks: boolean }>();
const place = (name: string): string => `${session.owner?.user ?? ''} ${session.owner?.project ?? ''} ${name}`;

/** Null forgets it. With `asks` the browser asks before the tab is closed or loaded anew, which would lose it. */
export function keep(name: string, value: object | string | null, asks = true): void {
  if (value === null) texts.delete(place(name));
  else texts.set(place(name), { value, asks });
}

export function kept<T extends object | string>(name: string): T | null {
  return (texts.get(place(name))?.value as T | undefined) ?? null;
}

/** Whether loading the page anew would lose something. */
export function unsaved(): boolean {
  return [...texts.values()].some((each) => each.asks);
}

export function forget(): void {
  texts.clear();
}

addEventListener('beforeunload', (event) => {
  if (unsaved()) event.preventDefault();
});
