// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type HomeHealth = { health: { ready: boolean; impaired: Array<string>; version: string; }; };
export const homeHealthDocument: Document<HomeHealth, object> = {
  text: `query HomeHealth{health{ready impaired version}}`,
};
