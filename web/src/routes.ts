// The only list of pages: address, entry of the navigation, who may open it, and where its code is.
import type { Component } from 'svelte';
import { match, type Parameters } from './kit/match';

/** What a page is given; one without parameters in its address takes none. */
export type Page = Component<{ parameters: Parameters }> | Component<Record<string, never>>;

export interface Route {
  path: string;
  title: string;
  entry: Entry['name'];
  /** Any of these opens it; none: anyone who is signed in. */
  may: readonly string[];
  load: () => Promise<{ default: Page }>;
}

export interface Entry {
  name: string;
  /** Tabs of the entry; the first one permitted is where it leads. */
  tabs: readonly { path: string; title: string; may: readonly string[] }[];
}

const EVERYONE: readonly string[] = [];
const ASK = ['ask'];
const RECORDS = ['read_records'];

export const routes: readonly Route[] = [
  { path: '/', title: 'Home', entry: 'Home', may: EVERYONE, load: () => import('./home/Home.svelte') },
  { path: '/play', title: 'Play', entry: 'Play', may: ASK, load: () => import('./routing/Play.svelte') },
  {
    path: '/records',
    title: 'Records',
    entry: 'Monitor',
    may: RECORDS,
    load: () => import('./telemetry/Records.svelte'),
  },
  {
    path: '/records/:trace',
    title: 'Record',
    entry: 'Monitor',
    may: RECORDS,
    load: () => import('./telemetry/Record.svelte'),
  },
];

export const entries: readonly Entry[] = [
  { name: 'Home', tabs: [{ path: '/', title: 'Home', may: EVERYONE }] },
  { name: 'Play', tabs: [{ path: '/play', title: 'Play', may: ASK }] },
  { name: 'Monitor', tabs: [{ path: '/records', title: 'Records', may: RECORDS }] },
];

export function find(path: string): { route: Route; parameters: Parameters } | null {
  for (const route of routes) {
    const parameters = match(route.path, path);
    if (parameters) return { route, parameters };
  }
  return null;
}
