// /v1/models: the names that a key may use here, in OpenAI's format.

import { EdgeError } from './errors.js';
import { matchesAny, type Caller } from './keys.js';
import { own } from './lookup.js';
import type { Release, Row } from './release.js';

interface Listed {
  id: string;
  object: 'model';
  created: number;
  owned_by: string;
  sizewise?: object;
}

export function listModels(release: Release, caller: Caller): Listed[] {
  const roles = release.roles.filter((name) => {
    const target = release.aliasOf[name] ?? '';
    return !target.includes('/') || matchesAny(target, caller.models);
  });
  const rows = Object.values(release.rows).filter((row) => matchesAny(row.name, caller.models));
  return [...roles.map((name) => listedRole(release, name)), ...rows.map((row) => listedRow(release, row))];
}

export function getModel(release: Release, caller: Caller, name: string): Listed {
  const full = own(release.rows, name) ? name : (own(release.short, name)?.[0] ?? name);
  const found = listModels(release, caller).find((each) => each.id === full);
  if (found) return found;
  const words = `there is no model named '${name.slice(0, 200)}'`;
  throw new EdgeError('model_not_found', words, 'list the models: GET /v1/models', { param: 'model' });
}

function listedRole(release: Release, name: string): Listed {
  const target = release.aliasOf[name];
  const created = (target && release.rows[target]?.created) || release.built;
  const entry: Listed = { id: name, object: 'model', created, owned_by: 'sizewise' };
  return target ? { ...entry, sizewise: { alias_of: target } } : entry;
}

function listedRow(release: Release, row: Row): Listed {
  const { context, size, place, tools } = row;
  return {
    id: row.name,
    object: 'model',
    created: row.created || release.built,
    owned_by: row.owner,
    sizewise: { context, size, place, tools },
  };
}
