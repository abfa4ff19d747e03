// How far a request's data may go: by its class, its key, project and policy. Only ever tightens.

import type { Caller } from './keys.js';
import type { RequestOptions } from './options.js';
import type { DataClass, Place, Release, Rule } from './release.js';

const CLASSES: DataClass[] = ['public', 'internal', 'confidential'];
const PLACES: Place[] = ['process', 'machine', 'network', 'region', 'anyone'];
const NO_RULE: Rule = { dataClass: null, online: true, reach: {} };

export interface DataDecision {
  dataClass: DataClass;
  reach: Place;
  reason: string;
  /** Who denies online models; empty: nobody. */
  offline: string;
}

/** The stricter of two classes. */
export function strictest(one: DataClass | null, other: DataClass | null): DataClass | null {
  if (one === null || other === null) return one ?? other;
  return CLASSES.indexOf(one) > CLASSES.indexOf(other) ? one : other;
}

export function isWithin(limit: Place, place: Place): boolean {
  return PLACES.indexOf(place) <= PLACES.indexOf(limit);
}

/** `source`: who made the request's own options stricter; empty: the request itself. */
export function decideData(
  release: Release,
  caller: Caller,
  options: RequestOptions,
  policy: string,
  source = '',
): DataDecision {
  const request = source || 'the request';
  const project = release.projects[caller.project] ?? NO_RULE;
  const chosen = release.policies[policy] ?? NO_RULE;
  const said: [DataClass | null, string][] = [
    [options.dataClass, request],
    [caller.dataClass, `the key '${caller.id}'`],
    [project.dataClass, `the project '${caller.project}'`],
    [chosen.dataClass, `the policy '${policy}'`],
  ];
  let dataClass = release.dataClass;
  let by = '';
  for (const [each, who] of said) {
    if (each && CLASSES.indexOf(each) > CLASSES.indexOf(dataClass)) [dataClass, by] = [each, who];
  }
  let reach = release.reach[dataClass];
  let reason = by ? `${dataClass} data (set by ${by})` : `${dataClass} data`;
  const narrower = chosen.reach[dataClass];
  if (narrower && !isWithin(narrower, reach)) {
    [reach, reason] = [narrower, `${dataClass} data under the policy '${policy}'`];
  }
  const denies: [boolean, string][] = [
    [options.online, request],
    [project.online, `the project '${caller.project}'`],
    [chosen.online, `the policy '${policy}'`],
  ];
  return { dataClass, reach, reason, offline: denies.find(([allowed]) => !allowed)?.[1] ?? '' };
}
