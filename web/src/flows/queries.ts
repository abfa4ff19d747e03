// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type RunRow = { id: string; number: number | null; flow: string; version: string; state: 'queued' | 'running' | 'waiting' | 'done' | 'failed' | 'cancelled'; attempt: number; error: string; created: number; started: number | null; ended: number | null; };

export type RunDetail = RunRow & { project: string; user: string; key: string; steps: Array<{ key: string; state: string; attempt: number; started: number; ended: number | null; decidedBy: string; model: string; costUsd: string | null; error: string; }>; failure: { code: string; message: string; hint: string; } | null; };

export type FlowList = { flows: Array<{ name: string; version: string; project: string; published: number; publishedBy: string; description: string; sideEffects: boolean; error: string | null; inputs: Array<{ name: string; type: unknown; required: boolean; }>; }>; };
export const flowListDocument: Document<FlowList, object> = {
  text: `query FlowList{flows{name version project published publishedBy description sideEffects error inputs{name type required}}}`,
};

export type FlowDetail = { flow: { name: string; version: string; project: string; published: number; publishedBy: string; description: string; sideEffects: boolean; error: string | null; inputs: Array<{ name: string; type: unknown; required: boolean; }>; outputs: Array<{ name: string; type: unknown; }>; } | null; flowVersions: Array<{ version: string; created: number; createdBy: string; live: boolean; }>; };
export const flowDetailDocument: Document<FlowDetail, { name: string; }> = {
  text: `query FlowDetail($name:String!){flow(name:$name){name version project published publishedBy description sideEffects error inputs{name type required}outputs{name type}}flowVersions(name:$name limit:10){version created createdBy live}}`,
};

export type FlowText = { flow: { text: string; } | null; };
export const flowTextDocument: Document<FlowText, { name: string; }> = {
  text: `query FlowText($name:String!){flow(name:$name){text}}`,
};

export type RunList = { flowRuns: Array<RunRow>; };
export const runListDocument: Document<RunList, { flow?: string | null; state?: 'queued' | 'running' | 'waiting' | 'done' | 'failed' | 'cancelled' | null; before?: number | null; }> = {
  text: `query RunList($flow:String$state:FlowRunState$before:Int){flowRuns(flow:$flow state:$state before:$before last:30){...RunRow}}fragment RunRow on FlowRun{id number flow version state attempt error created started ended}`,
};

export type OneRun = { flowRun: RunDetail & { inputs: unknown | null; outputs: unknown | null; } | null; };
export const oneRunDocument: Document<OneRun, { id: string; }> = {
  text: `query OneRun($id:String!){flowRun(id:$id){...RunDetail inputs outputs}}fragment RunDetail on FlowRun{...RunRow project user key steps{key state attempt started ended decidedBy model costUsd error}failure{code message hint}}fragment RunRow on FlowRun{id number flow version state attempt error created started ended}`,
};

export type RunCancel = { cancelFlowRun: { id: string; }; };
export const runCancelDocument: Document<RunCancel, { id: string; }> = {
  text: `mutation RunCancel($id:String!){cancelFlowRun(id:$id){id}}`,
};

export type RunResume = { resumeFlowRun: { id: string; }; };
export const runResumeDocument: Document<RunResume, { id: string; }> = {
  text: `mutation RunResume($id:String!){resumeFlowRun(id:$id){id}}`,
};

export type WaitingList = { waiting: Array<{ key: string; request: unknown | null; approvers: Array<string>; mayDecide: boolean; run: RunRow & { user: string; }; }>; };
export const waitingListDocument: Document<WaitingList, object> = {
  text: `query WaitingList{waiting{key request approvers mayDecide run{...RunRow user}}}fragment RunRow on FlowRun{id number flow version state attempt error created started ended}`,
};

export type WaitingDecide = { decide: { id: string; state: 'queued' | 'running' | 'waiting' | 'done' | 'failed' | 'cancelled'; }; };
export const waitingDecideDocument: Document<WaitingDecide, { id: string; key: string; approved: boolean; note?: string | null; }> = {
  text: `mutation WaitingDecide($id:String!$key:String!$approved:Boolean!$note:String){decide(id:$id key:$key approved:$approved note:$note){id state}}`,
};
