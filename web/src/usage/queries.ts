// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type SpendUsage = { chart: { rows: Array<{ at: number; requests: number; errors: number; costUsd: string; }>; }; table: { since: number; asOf: number; rows: Array<{ key: Array<string> | null; requests: number; errors: number; costUsd: string; unpriced: number; tokens: { input: number; output: number; }; p50Ms: number | null; p95Ms: number | null; }>; total: { requests: number; errors: number; unpriced: number; costUsd: string; tokens: { input: number; output: number; }; }; folded: { count: number; requests: number; costUsd: string; }; }; };
export const spendUsageDocument: Document<SpendUsage, { since: number; step: number; by?: Array<'project' | 'endpoint' | 'flow' | 'node' | 'policy' | 'model' | 'key' | 'user' | 'session' | 'release' | 'endUser' | 'tag' | 'status'> | null; first: number; }> = {
  text: `query SpendUsage($since:Timestamp!$step:Int!$by:[UsageKey!]$first:Int!){chart:usage(since:$since step:$step){rows{at requests errors costUsd}}table:usage(since:$since by:$by first:$first){since asOf rows{key requests errors costUsd unpriced tokens{input output}p50Ms p95Ms}total{requests errors unpriced costUsd tokens{input output}}folded{count requests costUsd}}}`,
};

export type SpendChange = { usageChange: { comparedSince: number; since: number; sentence: string; differenceUsd: string; before: { requests: number; costUsd: string; }; after: { requests: number; costUsd: string; }; parts: { volumeUsd: string; mixUsd: string; tokensUsd: string; priceUsd: string; }; models: Array<{ model: string | null; beforeUsd: string; afterUsd: string; differenceUsd: string; parts: { volumeUsd: string; mixUsd: string; tokensUsd: string; priceUsd: string; }; }>; }; };
export const spendChangeDocument: Document<SpendChange, { since: number; }> = {
  text: `query SpendChange($since:Timestamp!){usageChange(since:$since){comparedSince since sentence differenceUsd before{requests costUsd}after{requests costUsd}parts{volumeUsd mixUsd tokensUsd priceUsd}models{model beforeUsd afterUsd differenceUsd parts{volumeUsd mixUsd tokensUsd priceUsd}}}}`,
};

export type BudgetList = { budgets: Array<{ scope: string; unit: string; limit: string; spent: string; reserved: string; remaining: string; resets: number; source: string; }>; };
export const budgetListDocument: Document<BudgetList, object> = {
  text: `query BudgetList{budgets{scope unit limit spent reserved remaining resets source}}`,
};

export type BudgetSet = { setBudget: Array<{ scope: string; }>; };
export const budgetSetDocument: Document<BudgetSet, { scope: string; requestsPerMinute?: number | null; tokensPerMinute?: number | null; usdPerDay?: string | null; usdPerMonth?: string | null; }> = {
  text: `mutation BudgetSet($scope:String!$requestsPerMinute:NonNegativeSafeInt$tokensPerMinute:NonNegativeSafeInt$usdPerDay:Dollars$usdPerMonth:Dollars){setBudget(scope:$scope requestsPerMinute:$requestsPerMinute tokensPerMinute:$tokensPerMinute usdPerDay:$usdPerDay usdPerMonth:$usdPerMonth){scope}}`,
};
