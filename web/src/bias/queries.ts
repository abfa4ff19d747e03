// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type BiasRunList = { biasRuns: Array<{ id: string; ended: number; finding: string | null; targets: Array<{ name: string; answers: number; hasGap: boolean; sentence: string; }>; }>; };
export const biasRunListDocument: Document<BiasRunList, object> = {
  text: `query BiasRunList{biasRuns{id ended finding targets{name answers hasGap sentence}}}`,
};

export type BiasRunDetail = { biasRun: { id: string; ended: number; finding: string | null; targets: Array<{ name: string; answers: number; answeredBy: Array<string>; small: string | null; hasGap: boolean; sentence: string; panels: Array<{ metric: string; title: string; dimension: string; verdict: string; groups: Array<{ group: string; items: number; texts: number; value: number; verdict: string; sentence: string; gap: number | null; low: number | null; high: number | null; detectable: number | null; }>; }>; }>; } | null; };
export const biasRunDetailDocument: Document<BiasRunDetail, { id: string; }> = {
  text: `query BiasRunDetail($id:ID!){biasRun(id:$id){id ended finding targets{name answers answeredBy small hasGap sentence panels{metric title dimension verdict groups{group items texts value verdict sentence gap low high detectable}}}}}`,
};
