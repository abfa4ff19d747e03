// The same request as text to paste: for a shell, Python or TypeScript; pure.
import type { Wishes } from './wishes';
import { headers } from './wishes';

export type Language = 'curl' | 'Python' | 'TypeScript';

export const LANGUAGES: readonly Language[] = ['curl', 'Python', 'TypeScript'];

export function snippet(language: Language, origin: string, model: string, prompt: string, wishes: Wishes): string {
  const extra = Object.entries(headers(wishes));
  if (language === 'curl') return curl(origin, model, prompt, extra);
  return language === 'Python' ? python(origin, model, prompt, extra) : typescript(origin, model, prompt, extra);
}

type Extra = readonly (readonly [string, string])[];

function curl(origin: string, model: string, prompt: string, extra: Extra): string {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: prompt }] });
  const lines = [
    `curl ${origin}/v1/chat/completions`,
    '-H "Authorization: Bearer $SIZEWISE_KEY" -H "Content-Type: application/json"',
    ...extra.map(([name, value]) => `-H "${name}: ${value}"`),
    `-d ${shellQuoted(body)}`,
  ];
  return lines.join(' \\\n  ');
}

function python(origin: string, model: string, prompt: string, extra: Extra): string {
  return [
    'import os',
    '',
    'from openai import OpenAI',
    '',
    `client = OpenAI(base_url="${origin}/v1", api_key=os.environ["SIZEWISE_KEY"])`,
    'answer = client.chat.completions.create(',
    `    model=${JSON.stringify(model)},`,
    `    messages=[{"role": "user", "content": ${JSON.stringify(prompt)}}],`,
    ...(extra.length > 0 ? [`    extra_headers=${JSON.stringify(Object.fromEntries(extra))},`] : []),
    ')',
    'print(answer.choices[0].message.content)',
  ].join('\n');
}

function typescript(origin: string, model: string, prompt: string, extra: Extra): string {
  const options = extra.length > 0 ? `, { headers: ${JSON.stringify(Object.fromEntries(extra))} }` : '';
  return [
    "import OpenAI from 'openai';",
    '',
    `const client = new OpenAI({ baseURL: '${origin}/v1', apiKey: process.env.SIZEWISE_KEY });`,
    'const answer = await client.chat.completions.create({',
    `  model: ${JSON.stringify(model)},`,
    `  messages: [{ role: 'user', content: ${JSON.stringify(prompt)} }],`,
    `}${options});`,
    'console.log(answer.choices[0].message.content);',
  ].join('\n');
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
