// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type ModelSizes = { models: Array<{ name: string; size: string; }>; };
export const modelSizesDocument: Document<ModelSizes, object> = {
  text: `query ModelSizes{models{name size}}`,
};
