// How the studio is built: into the package, under names by content, the same bytes on every machine.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const server = process.env.SIZEWISE_URL ?? 'http://127.0.0.1:8080';
const proxied = { target: server, changeOrigin: true, headers: { origin: server }, ws: true };

export default defineConfig({
  base: '/studio/',
  plugins: [svelte()],
  build: {
    outDir: '../sizewise/studio/built',
    emptyOutDir: true,
    assetsDir: '',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2023',
    rolldownOptions: {
      output: {
        entryFileNames: '[name]-[hash].js',
        chunkFileNames: '[name]-[hash].js',
        assetFileNames: '[name]-[hash][extname]',
        // What changes rarely stands apart, so that a change of a page replaces a small file.
        // The editor and the canvas are loaded with the page of a flow.
        codeSplitting: {
          groups: [
            { name: 'vendor', test: /node_modules\/(svelte|esm-env|clsx|@lucide|graphql-ws)/, priority: 3 },
            // What all pages share comes in one file: few requests until the first page stands.
            { name: 'kit', test: /src\/(kit|words|api)\//, priority: 3 },
            {
              name: 'editor',
              test: /node_modules\/(@codemirror|@lezer|@marijn|crelt|style-mod|w3c-keyname|yaml|node-diff3)/,
              priority: 2,
            },
            { name: 'canvas', test: /node_modules\/(@xyflow|d3-|@svelte-put)/, priority: 2 },
            { name: 'canvas', test: /node_modules/, priority: 1 },
          ],
        },
      },
    },
  },
  server: { proxy: { '/graphql': proxied, '/auth': proxied, '/v1': proxied } },
  test: { include: ['tests/**/*.test.ts'], environment: 'node' },
});
