// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type ModelSizes = { models: Array<{ name: string; size: string; }>; };
export const modelSizesDocument: Document<ModelSizes, object> = {
  text: `query ModelSizes{models{name size}}`,
};

export type PaletteNames = { flows: Array<{ name: string; }>; knowledge: Array<{ name: string; }>; };
export const paletteNamesDocument: Document<PaletteNames, object> = {
  text: `query PaletteNames{flows{name}knowledge{name}}`,
};
