// Which version of a flow answers in each environment, in words; empty where the server has no environments.
import type { EnvironmentFlows } from './queries';

const SHOWN = 8;

/** `prod answers with version 7df93e58, its canary with 78809455 (50 % of new sessions)`, one for each environment. */
export function answers(environments: EnvironmentFlows[], name: string): string[] {
  return environments.map((each) => {
    const flow = each.flows.find((known) => known.name === name);
    const stable = flow?.version ? `answers with version ${flow.version.slice(0, SHOWN)}` : 'does not have it';
    if (!each.canary || flow?.canaryVersion === flow?.version) return `${each.environment} ${stable}`;
    const canary = flow?.canaryVersion ? `with ${flow.canaryVersion.slice(0, SHOWN)}` : 'without it';
    return `${each.environment} ${stable}, its canary ${canary} (${Math.round(1000 * each.share) / 10} % of new sessions)`;
  });
}

/** When a version that is published now answers: `at once`, or in some environments later. */
export function onceLive(environments: { environment: string; release: string | null }[]): string {
  const follow = environments.filter((each) => each.release === null).map((each) => each.environment);
  const others = environments.filter((each) => each.release !== null).map((each) => each.environment);
  if (others.length === 0) return 'at once';
  const later = `in ${others.join(', ')} once it is promoted`;
  return follow.length > 0 ? `at once in ${follow.join(', ')}, and ${later}` : later;
}

/** Where this version answers: `live in prod`, `canary of prod`. Without environments: `live`, if it is published. */
export function liveIn(environments: EnvironmentFlows[], name: string, version: string, published: boolean): string[] {
  if (environments.length === 0) return published ? ['live'] : [];
  const flows = environments.map((each) => ({ each, flow: each.flows.find((known) => known.name === name) }));
  const live = flows.filter(({ flow }) => flow?.version === version).map(({ each }) => each.environment);
  const canary = flows.filter(({ flow }) => flow?.canaryVersion === version && flow.version !== version);
  return [
    ...(live.length > 0 ? [`live in ${live.join(', ')}`] : []),
    ...canary.map(({ each }) => `canary of ${each.environment}`),
  ];
}
