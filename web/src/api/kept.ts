// What was typed and is not on the server: kept in this tab for the person who typed it, until it is or they sign out.
import { session } from './session.svelte';

const place = (name: string): string => `${session.who?.user ?? ''} ${session.who?.project ?? ''} ${name}`;

/** Null forgets it. */
export function keep(name: string, value: object | string | null): void {
  try {
    if (value === null) sessionStorage.removeItem(place(name));
    else sessionStorage.setItem(place(name), JSON.stringify(value));
  } catch {
    // a browser that stores nothing keeps nothing
  }
}

export function kept<T>(name: string): T | null {
  try {
    return JSON.parse(sessionStorage.getItem(place(name)) ?? 'null') as T | null;
  } catch {
    return null;
  }
}
