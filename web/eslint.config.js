// What a reviewer need not look for: no HTML sink, no `any`, keyed lists, rooms that know no neighbours.
import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';

import config from './svelte.config.js';

const rooms = [
  'home',
  'routing',
  'telemetry',
  'flows',
  'catalog',
  'usage',
  'alerts',
  'quality',
  'accounts',
  'knowledge',
  'settings',
  'releases',
  'suites',
  'annotation',
  'prompts',
  'widgets',
];
const neighbours = (room) =>
  rooms
    .filter((each) => each !== room)
    .map((each) => ({ group: [`**/${each}/**`], message: 'A room knows api, kit and words alone.' }));

export default ts.config(
  { ignores: ['node_modules', 'src/*/queries.ts'] },
  js.configs.recommended,
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  { languageOptions: { globals: { ...globals.browser, ...globals.node } } },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser, extraFileExtensions: ['.svelte'], svelteConfig: config } },
  },
  {
    rules: {
      'svelte/no-at-html-tags': 'error',
      'svelte/require-each-key': 'error',
      'svelte/no-target-blank': 'error',
      'svelte/button-has-type': 'error',
      'svelte/no-navigation-without-resolve': 'off', // of SvelteKit
      'svelte/prefer-svelte-reactivity': 'off', // state is replaced, never mutated
      'no-undef': 'off', // the compiler knows
      'no-restricted-syntax': [
        'error',
        {
          selector: 'MemberExpression[property.name=/^(innerHTML|outerHTML|insertAdjacentHTML|srcdoc)$/]',
          message: 'No HTML sink.',
        },
        {
          selector: "MemberExpression[object.name='localStorage']",
          message: 'Nothing is stored in the browser but looks (kit/theme).',
        },
      ],
    },
  },
  { files: ['src/kit/theme.svelte.ts'], rules: { 'no-restricted-syntax': 'off' } },
  ...rooms.map((room) => ({
    files: [`src/${room}/**`],
    rules: { 'no-restricted-imports': ['error', { patterns: neighbours(room) }] },
  })),
);
