// From a parameter of a node's kind to how it is asked for; a new kind needs no code here.
import { typeWords } from '../document/flow';
import type { FlowVocabulary } from '../queries';

type Parameter = FlowVocabulary['nodeKinds'][number]['parameters'][number];
type Dict = Record<string, unknown>;

export interface Field {
  name: string;
  widget: 'line' | 'text' | 'code' | 'number' | 'choice' | 'switch' | 'names' | 'value';
  description: string;
  type: string;
  required: boolean;
  expression: boolean;
  options: string[];
  placeholder: string;
}

const LONG = ['prompt', 'system', 'text', 'task', 'question', 'query', 'note', 'show', 'value'];

export function fieldsOfKind(vocabulary: FlowVocabulary, kind: string): Field[] {
  const known = vocabulary.nodeKinds.find((each) => each.name === kind);
  const definition = ((vocabulary.flowSchema as Dict)['$defs'] as Dict)[`node_${kind}`] as Dict | undefined;
  const properties = (definition?.['properties'] ?? {}) as Record<string, Dict>;
  const common: Parameter[] = [
    { name: 'after', type: 'json', required: false, expression: false, names: '' },
    { name: 'timeout_s', type: 'number', required: false, expression: false, names: '' },
    { name: 'description', type: 'text', required: false, expression: false, names: '' },
  ];
  return [...(known?.parameters ?? []), ...common].map((each) => field(each, properties[each.name] ?? {}, vocabulary));
}

function field(parameter: Parameter, schema: Dict, vocabulary: FlowVocabulary): Field {
  const { name, required, expression, names } = parameter;
  const type = typeWords(parameter.type);
  const choices = choicesOf(schema);
  const known = names ? (vocabulary.flowNames[names as keyof FlowVocabulary['flowNames']] ?? []) : [];
  const options = names === 'models' ? ['auto', 'small', 'large', ...known] : names ? known : choices;
  const begins = schema['default'];
  return {
    name,
    widget: widgetOf(name, type, names, choices, schema),
    description: String(schema['description'] ?? ''),
    type,
    required,
    expression,
    options,
    placeholder: begins === undefined || begins === null || typeof begins === 'object' ? '' : String(begins),
  };
}

function widgetOf(name: string, type: string, names: string, choices: string[], schema: Dict): Field['widget'] {
  if (name === 'code' || schema['x-form'] === 'code') return 'code';
  if (names && type === 'text') return 'names';
  if (choices.length > 0) return 'choice';
  if (type === 'boolean') return 'switch';
  if (type === 'number' || type === 'integer') return 'number';
  if (type === 'text') return LONG.includes(name) ? 'text' : 'line';
  return LONG.includes(name) && type === 'json' ? 'text' : 'value';
}

function choicesOf(schema: Dict): string[] {
  const all = [schema, ...((schema['anyOf'] ?? []) as Dict[])];
  const found = all.find((each) => Array.isArray(each['enum']));
  return ((found?.['enum'] ?? []) as unknown[]).filter((each): each is string => typeof each === 'string');
}

/** What is written in a field, as the value that the file says. Throws SyntaxError for what is no YAML. */
export function valueOf(field: Field, said: string, parse: (text: string) => unknown): unknown {
  if (field.expression && said.includes('{{')) return field.widget === 'value' ? parse(said) : said;
  if (field.widget === 'number') {
    const number = Number(said);
    if (said.trim() === '' || Number.isNaN(number)) throw new SyntaxError(`${field.name} is a number.`);
    return number;
  }
  if (field.widget === 'switch') return said === 'true';
  if (field.widget === 'value') return parse(said);
  return said;
}
