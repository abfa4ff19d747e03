// What a key may do, in words; the forms' choices; pure.

interface Scope {
  endpoints: readonly string[];
  models: readonly string[];
  policies: readonly string[];
  flows: readonly string[];
  networks: readonly string[];
}

interface KeyFacts {
  permissions: readonly string[];
  scope: Scope;
  dataClass: string | null;
  allProjects: boolean;
  project: string;
  environment: string;
}

const MOST = 3;

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST).join(', ');
  return names.length > MOST ? `${shown} and ${names.length - MOST} more` : shown;
}

/** "May ask; models phi-4 alone; from 10.0.0.0/8; data up to internal; in project web." */
export function words(key: KeyFacts): string {
  const parts = [`May ${listed(key.permissions)}`];
  const { scope } = key;
  if (scope.models.length > 0) parts.push(`models ${listed(scope.models)} alone`);
  if (scope.policies.length > 0) parts.push(`policies ${listed(scope.policies)} alone`);
  if (scope.flows.length > 0) parts.push(`flows ${listed(scope.flows)} alone`);
  if (scope.endpoints.length > 0) parts.push(`endpoints ${listed(scope.endpoints)} alone`);
  if (scope.networks.length > 0) parts.push(`from ${listed(scope.networks)}`);
  if (key.dataClass) parts.push(`data up to ${key.dataClass}`);
  if (key.environment) parts.push(`environment ${key.environment}`);
  parts.push(key.allProjects ? 'in all projects' : `in project ${key.project}`);
  return `${parts.join('; ').replaceAll('_', ' ')}.`;
}

/** What somebody may give: one's own permissions that a key commonly needs. */
export function grantable(own: readonly string[]): string[] {
  return own
    .filter((each) => each !== 'create_organizations')
    .sort((a, b) => order(a) - order(b) || a.localeCompare(b));
}

function order(permission: string): number {
  return permission === 'ask' ? 0 : permission.startsWith('read') ? 1 : 2;
}

export function separated(text: string): string[] {
  return text
    .split(/[\s,]+/)
    .map((each) => each.trim())
    .filter(Boolean);
}
