// The ladder of a decision as it is shown: each rung with its share of the certified inputs, and its state in words.
import { percent } from '../quality/plane';
import type { DecisionDetail } from './queries';

export type Decision = NonNullable<DecisionDetail['decision']>;

export interface RungShare {
  rung: string;
  share: number;
}

const RUNGS = ['exact', 'near copy', 'head', 'tuned', 'next token'];

/** Least first; the rest of the inputs goes to the model that is named. */
export function ladder(its: Decision): RungShare[] {
  const proof = its.state === 'certified' ? its.certificate : null;
  const on = proof?.certifiedOn ?? 0;
  const inputs = (rung: string): number => proof?.rungs.find((each) => each.rung === rung)?.inputs ?? 0;
  const below = RUNGS.map((rung) => ({ rung, share: proof && proof.isCertified && on > 0 ? inputs(rung) / on : 0 }));
  const served = below.reduce((sum, each) => sum + each.share, 0);
  return [...below, { rung: 'large', share: 1 - served }];
}

/** What decides the state, in one sentence. */
export function sentence(its: Decision): string {
  if (its.state === 'void') return `Void: ${its.cause}. All inputs go to ${its.model}.`;
  const proof = its.certificate;
  if (its.state === 'certified' && proof) {
    return `Differs from ${its.model} on at most ${percent(1 - proof.quality)} of all inputs, with confidence ${percent(0.95)} over all tries.`;
  }
  const next =
    its.nextCertificationAt === null
      ? 'no further try is planned'
      : `the next try is at ${String(its.nextCertificationAt)} answers, and it has ${String(its.answers)}`;
  return `Learning: all inputs go to ${its.model}; ${next}${its.cause ? ` (${its.cause})` : ''}.`;
}

export function served(its: Decision): number {
  return 1 - (ladder(its).at(-1)?.share ?? 1);
}

/** An option as people say it: the value alone where its JSON has one field. */
export function option(json: string): string {
  const found: unknown = JSON.parse(json);
  if (typeof found !== 'object' || found === null) return String(found);
  const values: unknown[] = Object.values(found);
  return values.length === 1 ? String(values[0]) : json;
}
