// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type SettingsPage = { settings: { file: string; home: string; cache: string; tables: Array<{ header: string; description: string; keys: Array<{ name: string; description: string; default: string | null; value: string | null; origin: string; }>; }>; }; health: { ready: boolean; impaired: Array<string>; version: string; }; };
export const settingsPageDocument: Document<SettingsPage, object> = {
  text: `query SettingsPage{settings{file home cache tables{header description keys{name description default value origin}}}health{ready impaired version}}`,
};

export type SettingsReload = { reload: { models: Array<string>; }; };
export const settingsReloadDocument: Document<SettingsReload, object> = {
  text: `mutation SettingsReload{reload{models}}`,
};
