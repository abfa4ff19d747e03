// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type HomeHealth = { health: { ready: boolean; impaired: Array<string>; version: string; }; };
export const homeHealthDocument: Document<HomeHealth, object> = {
  text: `query HomeHealth{health{ready impaired version}}`,
};

export type HomeUsage = { hours: { rows: Array<{ at: number; requests: number; errors: number; }>; total: { requests: number; errors: number; degraded: number; unpriced: number; costUsd: string; p95Ms: number | null; }; }; };
export const homeUsageDocument: Document<HomeUsage, { since: number; }> = {
  text: `query HomeUsage($since:Timestamp!){hours:usage(since:$since step:1){rows{at requests errors}total{requests errors degraded unpriced costUsd p95Ms}}}`,
};

export type HomeSavings = { savings: Array<{ policy: string; large: string; requests: number; small: number; savedUsd: string | null; marginUsd: string | null; }>; };
export const homeSavingsDocument: Document<HomeSavings, object> = {
  text: `query HomeSavings{savings(days:30){policy large requests small savedUsd marginUsd}}`,
};

export type HomeModels = { models: Array<{ name: string; size: string; task: string; }>; };
export const homeModelsDocument: Document<HomeModels, object> = {
  text: `query HomeModels{models{name size task}}`,
};

export type HomeDocuments = { knowledge: Array<{ documents: number; }>; };
export const homeDocumentsDocument: Document<HomeDocuments, object> = {
  text: `query HomeDocuments{knowledge{documents}}`,
};

export type HomeFlows = { flows: Array<{ name: string; }>; };
export const homeFlowsDocument: Document<HomeFlows, object> = {
  text: `query HomeFlows{flows{name}}`,
};

export type HomeKeys = { keys: Array<{ id: string; state: string; }>; };
export const homeKeysDocument: Document<HomeKeys, object> = {
  text: `query HomeKeys{keys{id state}}`,
};
