// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type RecordRow = { trace: string; spanId: string; at: number; endpoint: string; requestedModel: string; policy: string; model: string; why: string; status: number; error: string; degraded: string; costUsd: string | null; firstTokenMs: number | null; totalMs: number; attemptCount: number; flow: string | null; agent: string | null; };

export type RecordDetail = RecordRow & { key: string; project: string; stream: boolean; freshness: string; guardrails: string; dataClass: 'public' | 'internal' | 'confidential' | null; session: string | null; endUser: string | null; tags: Array<string>; node: string | null; tokens: { input: number; output: number; cached: number; reasoning: number; estimated: boolean; }; energy: { wh: number; how: string; } | null; prompts: Array<{ id: string; version: string; }>; attempts: Array<{ number: number; model: string; place: string; result: string; why: string; score: number | null; error: string; costUsd: string | null; startedMs: number; firstTokenMs: number | null; endedMs: number; }>; };

export type TraceSpan = { id: string; parent: string; depth: number; operation: string; name: string; kind: string; at: number; totalMs: number; error: string; model: string; costUsd: string | null; };

export type RecordList = { records: { rows: Array<RecordRow>; before: string | null; scannedTo: number | null; }; };
export const recordListDocument: Document<RecordList, { filter?: { since?: number | null; until?: number | null; trace?: string | null; model?: string | null; requestedModel?: string | null; policy?: string | null; endpoint?: string | null; key?: string | null; project?: string | null; status?: number | null; error?: string | null; failed?: boolean | null; degraded?: boolean | null; session?: string | null; endUser?: string | null; tag?: string | null; flow?: string | null; node?: string | null; agent?: string | null; dataClass?: 'public' | 'internal' | 'confidential' | null; guardrail?: string | null; why?: string | null; minCost?: string | null; minMs?: number | null; maxMs?: number | null; } | null; last?: number | null; before?: string | null; }> = {
  text: `query RecordList($filter:RecordFilter$last:Int$before:String){records(filter:$filter last:$last before:$before){rows{...RecordRow}before scannedTo}}fragment RecordRow on Record{trace spanId at endpoint requestedModel policy model why status error degraded costUsd firstTokenMs totalMs attemptCount flow agent}`,
};

export type RecordLive = { recordAdded: RecordRow; };
export const recordLiveDocument: Document<RecordLive, { filter?: { since?: number | null; until?: number | null; trace?: string | null; model?: string | null; requestedModel?: string | null; policy?: string | null; endpoint?: string | null; key?: string | null; project?: string | null; status?: number | null; error?: string | null; failed?: boolean | null; degraded?: boolean | null; session?: string | null; endUser?: string | null; tag?: string | null; flow?: string | null; node?: string | null; agent?: string | null; dataClass?: 'public' | 'internal' | 'confidential' | null; guardrail?: string | null; why?: string | null; minCost?: string | null; minMs?: number | null; maxMs?: number | null; } | null; }> = {
  text: `subscription RecordLive($filter:RecordFilter){recordAdded(filter:$filter){...RecordRow}}fragment RecordRow on Record{trace spanId at endpoint requestedModel policy model why status error degraded costUsd firstTokenMs totalMs attemptCount flow agent}`,
};

export type SessionList = { sessions: { rows: Array<{ id: string; requests: number; errors: number; first: number; last: number; costUsd: string; unpriced: number; endUser: string | null; }>; before: string | null; scannedTo: number | null; }; };
export const sessionListDocument: Document<SessionList, { last?: number | null; before?: string | null; }> = {
  text: `query SessionList($last:Int$before:String){sessions(last:$last before:$before){rows{id requests errors first last costUsd unpriced endUser}before scannedTo}}`,
};

export type RecordTrace = { trace: { id: string; spans: Array<TraceSpan>; } | null; records: { rows: Array<RecordDetail>; }; };
export const recordTraceDocument: Document<RecordTrace, { trace: string; }> = {
  text: `query RecordTrace($trace:String!){trace(id:$trace){id spans{...TraceSpan}}records(filter:{trace:$trace}last:50){rows{...RecordDetail}}}fragment TraceSpan on Span{id parent depth operation name kind at totalMs error model costUsd}fragment RecordDetail on Record{...RecordRow key project stream freshness guardrails dataClass session endUser tags node tokens{input output cached reasoning estimated}energy{wh how}prompts{id version}attempts{number model place result why score error costUsd startedMs firstTokenMs endedMs}}fragment RecordRow on Record{trace spanId at endpoint requestedModel policy model why status error degraded costUsd firstTokenMs totalMs attemptCount flow agent}`,
};

export type RecordContents = { records: { rows: Array<{ spanId: string; contents: { request: string; response: string | null; truncated: boolean; } | null; }>; }; };
export const recordContentsDocument: Document<RecordContents, { trace: string; }> = {
  text: `query RecordContents($trace:String!){records(filter:{trace:$trace}last:50){rows{spanId contents{request response truncated}}}}`,
};

export type RecordHistogram = { usage: { rows: Array<{ at: number; requests: number; errors: number; }>; }; };
export const recordHistogramDocument: Document<RecordHistogram, { since: number; step: number; filter?: { project?: string | null; endpoint?: string | null; flow?: string | null; node?: string | null; policy?: string | null; model?: string | null; key?: string | null; user?: string | null; session?: string | null; release?: string | null; endUser?: string | null; tag?: string | null; status?: number | null; } | null; }> = {
  text: `query RecordHistogram($since:Timestamp!$step:Int!$filter:UsageFilter){usage(since:$since step:$step filter:$filter){rows{at requests errors}}}`,
};
