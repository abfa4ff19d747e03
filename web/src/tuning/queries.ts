// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type TuningRow = { id: string; base: string; state: string; sentence: string; isRunning: boolean; failure: string | null; done: number; total: number; created: number; examples: number; model: string | null; };

export type AdapterRow = { name: string; run: string; base: string; bytes: number; sentence: string; question: string | null; withdrawn: number; created: number; };

export type TuningRunList = { tuningRuns: Array<TuningRow>; };
export const tuningRunListDocument: Document<TuningRunList, object> = {
  text: `query TuningRunList{tuningRuns{...TuningRow}}fragment TuningRow on TuningRun{id base state sentence isRunning failure done total created examples model}`,
};

export type TuningRunDetail = { tuningRun: TuningRow & { setup: string | null; preset: string; heldOut: number; answers: number; suspects: number; withdrawn: number; question: string | null; baselines: Array<{ name: string; asked: number; value: number; low: number; high: number; }>; tuned: { name: string; asked: number; value: number; low: number; high: number; } | null; estimate: { cpuSeconds: number; bytes: number | null; }; measured: { cpuSeconds: number; bytes: number | null; seconds: number | null; } | null; equality: { asked: number; found: number; logprobDifference: number; } | null; memory: { asked: number; found: number; } | null; triggers: { asked: number; found: number; } | null; } | null; };
export const tuningRunDetailDocument: Document<TuningRunDetail, { id: string; }> = {
  text: `query TuningRunDetail($id:ID!){tuningRun(id:$id){...TuningRow setup preset heldOut answers suspects withdrawn question baselines{name asked value low high}tuned{name asked value low high}estimate{cpuSeconds bytes}measured{cpuSeconds bytes seconds}equality{asked found logprobDifference}memory{asked found}triggers{asked found}}}fragment TuningRow on TuningRun{id base state sentence isRunning failure done total created examples model}`,
};

export type TuningStart = { startTuning: TuningRow; };
export const tuningStartDocument: Document<TuningStart, { id: string; }> = {
  text: `mutation TuningStart($id:ID!){startTuning(id:$id){...TuningRow}}fragment TuningRow on TuningRun{id base state sentence isRunning failure done total created examples model}`,
};

export type TuningCancel = { cancelTuning: TuningRow; };
export const tuningCancelDocument: Document<TuningCancel, { id: string; }> = {
  text: `mutation TuningCancel($id:ID!){cancelTuning(id:$id){...TuningRow}}fragment TuningRow on TuningRun{id base state sentence isRunning failure done total created examples model}`,
};

export type AdapterList = { adapters: Array<AdapterRow>; };
export const adapterListDocument: Document<AdapterList, object> = {
  text: `query AdapterList{adapters{...AdapterRow}}fragment AdapterRow on Adapter{name run base bytes sentence question withdrawn created}`,
};

export type AdapterDelete = { deleteAdapter: string; };
export const adapterDeleteDocument: Document<AdapterDelete, { name: string; }> = {
  text: `mutation AdapterDelete($name:String!){deleteAdapter(name:$name)}`,
};
