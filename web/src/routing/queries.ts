// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type PlayAttempt = { number: number; model: string; place: string; result: string; why: string; score: number | null; error: string; costUsd: string | null; startedMs: number; firstTokenMs: number | null; endedMs: number; };

export type PlayModels = { modelAliases: Array<string>; models: Array<{ name: string; task: string; state: string; parameters: number | null; }>; };
export const playModelsDocument: Document<PlayModels, object> = {
  text: `query PlayModels{modelAliases models{name task state parameters}}`,
};

export type PlayAsk = { ask: { text: string; reasoning: string; attempt: { stage: 'attempt' | 'verification' | 'loading' | 'queued' | 'step'; model: string; why: string; held: boolean; } | null; answer: { model: string; why: string; trace: string; degraded: string; freshness: string; costUsd: string | null; tokens: { input: number; output: number; reasoning: number; estimated: boolean; }; } | null; }; };
export const playAskDocument: Document<PlayAsk, { prompt: string; model: string; maxCostUsd?: string | null; maxMs?: number | null; minQuality?: number | null; dataClass?: 'public' | 'internal' | 'confidential' | null; online?: 'allow' | 'deny' | null; }> = {
  text: `subscription PlayAsk($prompt:String!$model:String!$maxCostUsd:Dollars$maxMs:Int$minQuality:Float$dataClass:DataClass$online:Online){ask(prompt:$prompt model:$model maxCostUsd:$maxCostUsd maxMs:$maxMs minQuality:$minQuality dataClass:$dataClass online:$online progress:true){text reasoning attempt{stage model why held}answer{model why trace degraded freshness costUsd tokens{input output reasoning estimated}}}}`,
};

export type PlayRecord = { records: { rows: Array<{ trace: string; firstTokenMs: number | null; totalMs: number; costUsd: string | null; attempts: Array<PlayAttempt>; }>; }; };
export const playRecordDocument: Document<PlayRecord, { trace: string; }> = {
  text: `query PlayRecord($trace:String!){records(filter:{trace:$trace}last:1){rows{trace firstTokenMs totalMs costUsd attempts{...PlayAttempt}}}}fragment PlayAttempt on Attempt{number model place result why score error costUsd startedMs firstTokenMs endedMs}`,
};

export type PlayExplain = { explain: { policy: string; tokens: number; why: string; error: string; candidates: Array<{ model: string; size: string; place: string; eligible: boolean; why: string; costUsd: string | null; expectedS: number | null; }>; steps: Array<{ models: Array<string>; }>; }; };
export const playExplainDocument: Document<PlayExplain, { prompt: string; model: string; maxCostUsd?: string | null; maxMs?: number | null; minQuality?: number | null; dataClass?: 'public' | 'internal' | 'confidential' | null; online?: 'allow' | 'deny' | null; }> = {
  text: `query PlayExplain($prompt:String!$model:String!$maxCostUsd:Dollars$maxMs:Int$minQuality:Float$dataClass:DataClass$online:Online){explain(prompt:$prompt model:$model maxCostUsd:$maxCostUsd maxMs:$maxMs minQuality:$minQuality dataClass:$dataClass online:$online){policy tokens why error candidates{model size place eligible why costUsd expectedS}steps{models}}}`,
};

export type PlayFeedback = { feedback: Array<{ trace: string; }>; };
export const playFeedbackDocument: Document<PlayFeedback, { trace: string; score: number; }> = {
  text: `mutation PlayFeedback($trace:String!$score:Float!){feedback(trace:$trace score:$score){trace}}`,
};
