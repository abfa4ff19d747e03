// The inputs of a flow, as a form asks for them and as a run takes them.
import { get } from '../document/edits';
import { typeWords } from '../document/flow';

export interface Input {
  name: string;
  type: string;
  required: boolean;
  description: string;
  begins: string;
}

export function inputsOf(data: unknown): Input[] {
  return Object.entries((get(data, ['inputs']) as Record<string, unknown> | null | undefined) ?? {}).map(
    ([name, said]) => {
      const whole =
        said !== null && typeof said === 'object' && 'type' in said
          ? (said as Record<string, unknown>)
          : { type: said };
      const begins = whole['default'];
      return {
        name,
        type: typeWords(whole['type']),
        required: !('default' in whole),
        description: typeof whole['description'] === 'string' ? whole['description'] : '',
        begins:
          begins === undefined || begins === null ? '' : typeof begins === 'string' ? begins : JSON.stringify(begins),
      };
    },
  );
}

/** Texts as they are, all else as JSON. Throws SyntaxError that names the input. */
export function valuesOf(inputs: readonly Input[], said: Record<string, string>): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const { name, type } of inputs) {
    const text = said[name] ?? '';
    if (text === '') continue;
    if (type === 'text') values[name] = text;
    else
      try {
        values[name] = JSON.parse(text);
      } catch {
        if (type !== 'json') throw new SyntaxError(`${name} is ${type}: write it as JSON.`);
        values[name] = text;
      }
  }
  return values;
}
