// What guards a request: which guard does what, by policy. Scans once; masks only for models that are far enough.

import type { Chat } from '../chat.js';
import { isWithin } from '../data_policy.js';
import { EdgeError } from '../errors.js';
import type { DataClass, Place, Row } from '../release.js';
import { mergeOverlaps, type Finding } from './finding.js';
import { maskChat, scanChat, type Unmasker } from './masking.js';
import { compilePii, findPii, type PiiTables } from './pii.js';
import { compileSecrets, findSecrets, type SecretTables } from './secrets.js';

export type Action = 'off' | 'flag' | 'mask' | 'local' | 'block';

export interface GuardData {
  tables: { pii: PiiTables | null; secrets: SecretTables | null };
  unmaskedPlace: Place;
  usual: Record<string, Action>;
  policies: Record<string, Record<string, Action>>;
  dataClass: Record<string, DataClass>;
}

/** What was found in a request. `counts`: by guard and kind. */
export interface Scan {
  counts: Map<string, number>;
  masked: Map<string, Finding[]>;
  dataClass: [DataClass, string] | null;
  offline: string;
}

type Guard = (text: string) => Promise<Finding[]>;
const CLASSES: DataClass[] = ['public', 'internal', 'confidential'];
let compiled: Record<string, Guard> | null = null;

function guardsOf({ tables }: GuardData): Record<string, Guard> {
  if (compiled) return compiled;
  compiled = {};
  if (tables.pii) {
    const by = compilePii(tables.pii);
    compiled['pii'] = (text) => findPii(by, text);
  }
  if (tables.secrets) {
    const by = compileSecrets(tables.secrets);
    compiled['secrets'] = (text) => Promise.resolve(findSecrets(by, text));
  }
  return compiled;
}

/** Throws guard_blocked. */
export async function scan(data: GuardData, policy: string, chat: Chat): Promise<Scan> {
  const actions = data.policies[policy] ?? data.usual;
  const active = Object.entries(guardsOf(data)).filter(([name]) => (actions[name] ?? 'off') !== 'off');
  const counts = new Map<string, number>();
  const found = new Map<string, Finding[]>();
  if (active.length) {
    const all = await scanChat(chat, async (text) =>
      (await Promise.all(active.map(([, guard]) => guard(text)))).flat(),
    );
    for (const [text, here] of all) {
      for (const each of here)
        counts.set(`${each.guard}:${each.kind}`, (counts.get(`${each.guard}:${each.kind}`) ?? 0) + 1);
      const masking = here.filter((each) => actions[each.guard] === 'mask');
      if (masking.length) found.set(text, mergeOverlaps(masking));
    }
  }
  const seen = [...new Set([...counts.keys()].map((each) => each.split(':')[0] as string))].sort();
  for (const each of counts.keys()) {
    const [guard = '', kind] = each.split(':');
    if (actions[guard] !== 'block') continue;
    const hint = `remove it, or change the action of '${guard}' in [guardrails] or in the policy`;
    const error = new EdgeError(
      'guard_blocked',
      `the guardrail '${guard}' found ${kind} in the request, and the settings block it`,
      hint,
    );
    error.headers['x-sizewise-guards'] = summary(data, policy, { counts }, false);
    throw error;
  }
  const classes = seen.flatMap((each) => data.dataClass[each] ?? []);
  const strictest = CLASSES[Math.max(...classes.map((each) => CLASSES.indexOf(each)))];
  const by = `the guardrail ${seen.join(' and ')}`;
  return {
    counts,
    masked: found,
    dataClass: strictest ? [strictest, by] : null,
    offline: seen.some((each) => actions[each] === 'local') ? by : '',
  };
}

/** The request as a model may see it. */
export function viewFor(data: GuardData, row: Row, chat: Chat, found: Scan): { chat: Chat; unmasker: Unmasker | null } {
  if (!found.masked.size || isWithin(data.unmaskedPlace, row.place)) return { chat, unmasker: null };
  return maskChat(chat, found.masked);
}

const DONE: Record<string, string> = { mask: 'masked', flag: 'flagged', local: 'local', block: 'blocked' };

/** For the header x-sizewise-guards: what was found, and what was done. */
export function summary(data: GuardData, policy: string, found: Pick<Scan, 'counts'>, masked: boolean): string {
  const actions = data.policies[policy] ?? data.usual;
  return [...found.counts]
    .map(([each, count]) => {
      const [guard = '', kind] = each.split(':');
      const action = actions[guard] ?? 'flag';
      const done = action === 'mask' && !masked ? 'flagged' : (DONE[action] ?? 'flagged');
      return `${guard}:${kind}=${count} ${done}`;
    })
    .join(', ');
}
