// The JSON schema that a chat asks for: what a reply breaks of it. A schema with a rule that is not here is not checked.

import type { Chat } from './chat.js';
import { own } from './lookup.js';

type Schema = boolean | { [keyword: string]: unknown };

/** `rule`: a keyword of JSON Schema. `words`: where and what, without the value. */
export interface Violation {
  rule: string;
  words: string;
}

/** null: nothing is wrong. */
export type SchemaCheck = (text: string) => Violation | null;

const MAX_DEPTH = 100;
/** Rules that one reply is held against: alternatives within alternatives multiply. */
const MAX_STEPS = 50_000;
let steps = 0;
const SILENT = ['$schema', '$comment', '$defs', 'definitions', 'title', 'description', 'default', 'examples'];
const KINDS: Record<string, (value: unknown) => boolean> = {
  null: (value) => value === null,
  boolean: (value) => typeof value === 'boolean',
  string: (value) => typeof value === 'string',
  number: (value) => typeof value === 'number',
  integer: (value) => typeof value === 'number' && Number.isInteger(value),
  array: Array.isArray,
  object: isObject,
};

/** Of a chat that asks for JSON. null: its schema has a rule that the gateway alone can check. */
export function schemaCheck(chat: Chat): SchemaCheck | null {
  const shape = JSON.parse(chat.raw.get('response_format') ?? 'null') as Record<string, unknown> | null;
  if (!shape) return null;
  let schema: unknown;
  if (shape['type'] === 'json_schema') schema = (shape['json_schema'] as { schema?: unknown } | null)?.schema ?? {};
  else if (shape['type'] === 'json_object') schema = shape['schema'] ?? { type: 'object' };
  else return null;
  if (!isObject(schema) || !isKnown(schema, schema, 0)) return null;
  const root = schema;
  return (text) => {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return { rule: 'json', words: 'it is not JSON' };
    }
    steps = 0;
    return violation(root, value, '$', root, 0);
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const number = (value: unknown): boolean => typeof value === 'number';
const schemas = (value: unknown, root: Schema, depth: number): boolean =>
  Array.isArray(value) && value.length > 0 && value.every((each) => isKnown(each, root, depth));
const byName = (value: unknown, root: Schema, depth: number): boolean =>
  isObject(value) && Object.values(value).every((each) => isKnown(each, root, depth));

/** By keyword: whether its value is one that can be checked here. */
const RULES: Record<string, (value: unknown, root: Schema, depth: number) => boolean> = {
  $ref: (value, root) => target(value, root) !== undefined,
  type: (value) => [value].flat().every((each) => typeof each === 'string' && Object.hasOwn(KINDS, each)),
  enum: Array.isArray,
  const: () => true,
  properties: byName,
  required: (value) => Array.isArray(value) && value.every((each) => typeof each === 'string'),
  additionalProperties: (value, root, depth) => isKnown(value, root, depth),
  items: (value, root, depth) => isKnown(value, root, depth),
  minItems: number,
  maxItems: number,
  minLength: number,
  maxLength: number,
  minimum: number,
  maximum: number,
  exclusiveMinimum: number,
  exclusiveMaximum: number,
  anyOf: schemas,
  oneOf: schemas,
  allOf: schemas,
};

function isKnown(schema: unknown, root: Schema, depth: number): schema is Schema {
  if (typeof schema === 'boolean') return true;
  if (!isObject(schema) || depth > MAX_DEPTH) return false;
  const defined = [schema['$defs'], schema['definitions']].filter((each) => each !== undefined);
  return (
    defined.every((each) => byName(each, root, depth + 1)) &&
    Object.entries(schema).every(([name, value]) => SILENT.includes(name) || own(RULES, name)?.(value, root, depth + 1))
  );
}

function target(reference: unknown, root: Schema): Schema | undefined {
  if (reference === '#') return root;
  const path = typeof reference === 'string' ? /^#\/(\$defs|definitions)\/([^/~%]+)$/.exec(reference) : null;
  const named = path && isObject(root) ? root[path[1] as string] : undefined;
  return isObject(named) && path && Object.hasOwn(named, path[2] as string)
    ? (named[path[2] as string] as Schema)
    : undefined;
}

function violation(schema: Schema, value: unknown, at: string, root: Schema, depth: number): Violation | null {
  const broken = (rule: string, words: string): Violation => ({ rule, words: `at ${at}: ${words}` });
  if (schema === true) return null;
  if (schema === false) return broken('false', 'nothing is allowed here');
  if (depth > MAX_DEPTH || ++steps > MAX_STEPS) return broken('depth', 'it is nested too deeply');
  const inside = (each: unknown, one: unknown, step = ''): Violation | null =>
    violation(each as Schema, one, at + step, root, depth + 1);
  for (const [rule, its] of Object.entries(schema)) {
    let found: Violation | null = null;
    if (rule === '$ref') found = inside(target(its, root), value);
    else if (rule === 'type' && ![its].flat().some((kind) => KINDS[kind as string]?.(value)))
      found = broken(
        rule,
        `the value is not of type ${[its]
          .flat()
          .map((kind) => `"${kind}"`)
          .join(', ')}`,
      );
    else if (rule === 'const' && !same(its, value)) found = broken(rule, 'the value is not the one that is allowed');
    else if (rule === 'enum' && !(its as unknown[]).some((each) => same(each, value)))
      found = broken(rule, 'the value is not one of those that are allowed');
    else if (rule === 'allOf') found = first(its as unknown[], (each) => inside(each, value));
    else if (rule === 'anyOf' && (its as unknown[]).every((each) => inside(each, value)))
      found = broken(rule, 'the value is valid under none of the schemas');
    else if (rule === 'oneOf' && (its as unknown[]).filter((each) => !inside(each, value)).length !== 1)
      found = broken(rule, 'the value is not valid under exactly one of the schemas');
    else if (isObject(value)) found = ofObject(rule, its, value, schema, inside, broken);
    else if (Array.isArray(value)) found = ofArray(rule, its, value, inside, broken);
    else if (typeof value === 'string') found = bounded(rule, its, [...value].length, 'Length', broken);
    else if (typeof value === 'number') found = ofNumber(rule, its as number, value, broken);
    if (found) return found;
  }
  return null;
}

type Inside = (schema: unknown, value: unknown, step?: string) => Violation | null;
type Broken = (rule: string, words: string) => Violation;

function ofObject(
  rule: string,
  its: unknown,
  value: Record<string, unknown>,
  schema: Record<string, unknown>,
  inside: Inside,
  broken: Broken,
): Violation | null {
  if (rule === 'required') {
    const lacking = (its as string[]).find((name) => !Object.hasOwn(value, name));
    return lacking === undefined ? null : broken(rule, `${JSON.stringify(lacking)} is a required property`);
  }
  if (rule === 'properties') {
    const names = Object.keys(its as object).filter((name) => Object.hasOwn(value, name));
    return first(names, (name) => inside((its as Record<string, unknown>)[name], value[name], `.${name}`));
  }
  if (rule !== 'additionalProperties') return null;
  const known = isObject(schema['properties']) ? schema['properties'] : {};
  const others = Object.keys(value).filter((name) => !Object.hasOwn(known, name));
  if (its === false) return others.length ? broken(rule, 'additional properties are not allowed') : null;
  return first(others, (name) => inside(its, value[name], `.${name}`));
}

function ofArray(rule: string, its: unknown, value: unknown[], inside: Inside, broken: Broken): Violation | null {
  if (rule !== 'items') return bounded(rule, its, value.length, 'Items', broken);
  return first(
    value.map((_, place) => place),
    (place) => inside(its, value[place], `[${place}]`),
  );
}

function bounded(rule: string, its: unknown, size: number, what: string, broken: Broken): Violation | null {
  if (rule === `min${what}` && size < (its as number)) return broken(rule, `it is shorter than ${its}`);
  if (rule === `max${what}` && size > (its as number)) return broken(rule, `it is longer than ${its}`);
  return null;
}

function ofNumber(rule: string, its: number, value: number, broken: Broken): Violation | null {
  if (rule === 'minimum' && value < its) return broken(rule, `the value is less than ${its}`);
  if (rule === 'maximum' && value > its) return broken(rule, `the value is greater than ${its}`);
  if (rule === 'exclusiveMinimum' && value <= its) return broken(rule, `the value is not greater than ${its}`);
  if (rule === 'exclusiveMaximum' && value >= its) return broken(rule, `the value is not less than ${its}`);
  return null;
}

function first<T>(all: T[], check: (each: T) => Violation | null): Violation | null {
  for (const each of all) {
    const found = check(each);
    if (found) return found;
  }
  return null;
}

function same(one: unknown, other: unknown): boolean {
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((each, place) => same(each, other[place]));
  }
  if (!isObject(one) || !isObject(other)) return one === other;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]))
  );
}
