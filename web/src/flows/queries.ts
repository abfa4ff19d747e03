// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type EnvironmentFlows = { environment: string; release: string | null; canary: string | null; share: number; flows: Array<{ name: string; version: string | null; canaryVersion: string | null; }>; };

export type FlowNode = { id: string; path: Array<unknown>; kind: string; parent: string; line: number; endLine: number; outputs: unknown; cases: Array<string>; sideEffect: boolean; streams: string; };

export type FlowEdge = { from: string; to: string; case: string; kind: 'required' | 'optional' | 'order'; path: Array<unknown>; reference: string; line: number; column: number; endColumn: number; };

export type Finding = { node: string; line: number; column: number; message: string; hint: string; severity: string; fixes: Array<{ title: string; start: number; end: number; text: string; }>; };

export type RunRow = { id: string; number: number | null; flow: string; version: string; state: 'queued' | 'running' | 'waiting' | 'done' | 'failed' | 'cancelled'; attempt: number; error: string; created: number; started: number | null; ended: number | null; };

export type RunDetail = RunRow & { project: string; user: string; key: string; steps: Array<{ key: string; state: string; attempt: number; started: number; ended: number | null; decidedBy: string; model: string; costUsd: string | null; error: string; }>; failure: { code: string; message: string; hint: string; } | null; };

export type FlowList = { flows: Array<{ name: string; version: string; project: string; published: number; publishedBy: string; description: string; sideEffects: boolean; error: string | null; inputs: Array<{ name: string; type: unknown; required: boolean; }>; }>; flowsByEnvironment: Array<EnvironmentFlows>; };
export const flowListDocument: Document<FlowList, object> = {
  text: `query FlowList{flows{name version project published publishedBy description sideEffects error inputs{name type required}}flowsByEnvironment{...EnvironmentFlows}}fragment EnvironmentFlows on EnvironmentFlows{environment release canary share flows{name version canaryVersion}}`,
};

export type FlowOpen = { flow: { name: string; version: string; published: number; publishedBy: string; sideEffects: boolean; error: string | null; text: string; } | null; flowDraft: { baseVersion: string; saved: number; text: string | null; layout: unknown | null; } | null; flowDrafts: Array<{ name: string; user: string; mine: boolean; saved: number; }>; flowFiles: Array<{ name: string; file: string; }>; gitSync: { url: string; branch: string; } | null; flowsByEnvironment: Array<{ environment: string; release: string | null; }>; };
export const flowOpenDocument: Document<FlowOpen, { name: string; }> = {
  text: `query FlowOpen($name:String!){flow(name:$name){name version published publishedBy sideEffects error text}flowDraft(name:$name){baseVersion saved text layout}flowDrafts{name user mine saved}flowFiles{name file}gitSync{url branch}flowsByEnvironment{environment release}}`,
};

export type FlowVocabulary = { flowSchema: unknown; nodeKinds: Array<{ name: string; description: string; sideEffect: boolean; hasNodes: boolean; canBePinned: boolean; parameters: Array<{ name: string; type: unknown; required: boolean; expression: boolean; names: string; }>; }>; flowFilters: Array<{ name: string; description: string; inputs: Array<unknown>; }>; flowNames: { models: Array<string>; policies: Array<string>; flows: Array<string>; knowledge: Array<string>; hosts: Array<string>; agents: Array<string>; prompts: Array<string>; tools: Array<string>; }; };
export const flowVocabularyDocument: Document<FlowVocabulary, object> = {
  text: `query FlowVocabulary{flowSchema nodeKinds{name description sideEffect hasNodes canBePinned parameters{name type required expression names}}flowFilters{name description inputs}flowNames{models policies flows knowledge hosts agents prompts tools}}`,
};

export type FlowCheck = { checkFlow: { name: string; version: string; valid: boolean; findings: Array<Finding>; graph: { nodes: Array<FlowNode>; edges: Array<FlowEdge>; } | null; }; };
export const flowCheckDocument: Document<FlowCheck, { text: string; }> = {
  text: `query FlowCheck($text:String!){checkFlow(text:$text){name version valid findings{...Finding}graph{nodes{...FlowNode}edges{...FlowEdge}}}}fragment Finding on FlowFinding{node line column message hint severity fixes{title start end text}}fragment FlowNode on FlowGraphNode{id path kind parent line endLine outputs cases sideEffect streams}fragment FlowEdge on FlowGraphEdge{from to case kind path reference line column endColumn}`,
};

export type FlowVersions = { flowVersions: Array<{ version: string; created: number; createdBy: string; live: boolean; publications: Array<{ at: number; by: string; note: string; }>; }>; flowsByEnvironment: Array<EnvironmentFlows>; };
export const flowVersionsDocument: Document<FlowVersions, { name: string; }> = {
  text: `query FlowVersions($name:String!){flowVersions(name:$name limit:30){version created createdBy live publications{at by note}}flowsByEnvironment{...EnvironmentFlows}}fragment EnvironmentFlows on EnvironmentFlows{environment release canary share flows{name version canaryVersion}}`,
};

export type FlowVersionTexts = { flowVersions: Array<{ version: string; text: string; }>; };
export const flowVersionTextsDocument: Document<FlowVersionTexts, { name: string; }> = {
  text: `query FlowVersionTexts($name:String!){flowVersions(name:$name limit:30){version text}}`,
};

export type FlowDifference = { flowDiff: { unified: string; sameMeaning: boolean; nodesAdded: Array<string>; nodesRemoved: Array<string>; nodesChanged: Array<string>; }; };
export const flowDifferenceDocument: Document<FlowDifference, { before: string; after: string; }> = {
  text: `query FlowDifference($before:String!$after:String!){flowDiff(before:$before after:$after){unified sameMeaning nodesAdded nodesRemoved nodesChanged}}`,
};

export type FlowDraftSave = { saveFlowDraft: { saved: number; }; };
export const flowDraftSaveDocument: Document<FlowDraftSave, { name: string; text: string; baseVersion?: string | null; layout?: unknown | null; expectedSaved?: number | null; }> = {
  text: `mutation FlowDraftSave($name:String!$text:String!$baseVersion:String$layout:JSON$expectedSaved:Timestamp){saveFlowDraft(name:$name text:$text baseVersion:$baseVersion layout:$layout expectedSaved:$expectedSaved){saved}}`,
};

export type FlowDraftDrop = { dropFlowDraft: { name: string; }; };
export const flowDraftDropDocument: Document<FlowDraftDrop, { name: string; }> = {
  text: `mutation FlowDraftDrop($name:String!){dropFlowDraft(name:$name){name}}`,
};

export type FlowPublish = { publishFlow: { new: boolean; flow: { name: string; version: string; } | null; findings: Array<Finding>; commit: { branch: string; commit: string; pullRequest: string | null; problem: string | null; } | null; }; };
export const flowPublishDocument: Document<FlowPublish, { text: string; expectedVersion?: string | null; note?: string | null; }> = {
  text: `mutation FlowPublish($text:String!$expectedVersion:String$note:String){publishFlow(text:$text expectedVersion:$expectedVersion note:$note){new flow{name version}findings{...Finding}commit{branch commit pullRequest problem}}}fragment Finding on FlowFinding{node line column message hint severity fixes{title start end text}}`,
};

export type FlowTest = { testFlow: { key: string; kind: string; state: 'running' | 'text' | 'done' | 'pinned' | 'failed' | 'skipped' | 'ended'; at: number; text: string; model: string; why: string; tokens: number; costUsd: string | null; error: string; message: string; hint: string; output: unknown | null; }; };
export const flowTestDocument: Document<FlowTest, { text: string; inputs?: unknown | null; pins?: unknown | null; fromRun?: string | null; nodes?: Array<string> | null; allowSideEffects?: boolean | null; }> = {
  text: `subscription FlowTest($text:String!$inputs:JSON$pins:JSON$fromRun:String$nodes:[String!]$allowSideEffects:Boolean){testFlow(text:$text inputs:$inputs pins:$pins fromRun:$fromRun nodes:$nodes allowSideEffects:$allowSideEffects){key kind state at text model why tokens costUsd error message hint output}}`,
};

export type RunList = { flowRuns: Array<RunRow>; };
export const runListDocument: Document<RunList, { flow?: string | null; state?: 'queued' | 'running' | 'waiting' | 'done' | 'failed' | 'cancelled' | null; before?: number | null; }> = {
  text: `query RunList($flow:String$state:FlowRunState$before:Int){flowRuns(flow:$flow state:$state before:$before last:30){...RunRow}}fragment RunRow on FlowRun{id number flow version state attempt error created started ended}`,
};

export type OneRun = { flowRun: RunDetail & { inputs: unknown | null; outputs: unknown | null; agents: Array<{ key: string; stopReason: string | null; toolCalls: Array<{ key: string; tool: string; arguments: string; result: string | null; failed: boolean; }>; }> | null; } | null; };
export const oneRunDocument: Document<OneRun, { id: string; }> = {
  text: `query OneRun($id:String!){flowRun(id:$id){...RunDetail inputs outputs agents{key stopReason toolCalls{key tool arguments result failed}}}}fragment RunDetail on FlowRun{...RunRow project user key steps{key state attempt started ended decidedBy model costUsd error}failure{code message hint}}fragment RunRow on FlowRun{id number flow version state attempt error created started ended}`,
};

export type RunCancel = { cancelFlowRun: { id: string; }; };
export const runCancelDocument: Document<RunCancel, { id: string; }> = {
  text: `mutation RunCancel($id:String!){cancelFlowRun(id:$id){id}}`,
};

export type RunResume = { resumeFlowRun: { id: string; }; };
export const runResumeDocument: Document<RunResume, { id: string; }> = {
  text: `mutation RunResume($id:String!){resumeFlowRun(id:$id){id}}`,
};

export type WaitingDecide = { decide: { id: string; state: 'queued' | 'running' | 'waiting' | 'done' | 'failed' | 'cancelled'; }; };
export const waitingDecideDocument: Document<WaitingDecide, { id: string; key: string; approved: boolean; note?: string | null; }> = {
  text: `mutation WaitingDecide($id:String!$key:String!$approved:Boolean!$note:String){decide(id:$id key:$key approved:$approved note:$note){id state}}`,
};

export type FlowWrite = { ask: { text: string; answer: { model: string; } | null; }; };
export const flowWriteDocument: Document<FlowWrite, { prompt: string; model: string; }> = {
  text: `subscription FlowWrite($prompt:String!$model:String!){ask(prompt:$prompt model:$model maxTokens:3000){text answer{model}}}`,
};

export type FlowKnowledge = { flowNames: { knowledge: Array<string>; }; };
export const flowKnowledgeDocument: Document<FlowKnowledge, object> = {
  text: `query FlowKnowledge{flowNames{knowledge}}`,
};

export type FlowImport = { lamaticFlows: Array<{ file: string; name: string; text: string; error: string | null; notes: Array<{ grade: string; node: string; message: string; hint: string; }>; }>; };
export const flowImportDocument: Document<FlowImport, { name: string; content: string; }> = {
  text: `query FlowImport($name:String!$content:String!){lamaticFlows(name:$name content:$content){file name text error notes{grade node message hint}}}`,
};

export type FlowDraftList = { flowDrafts: Array<{ name: string; mine: boolean; saved: number; }>; };
export const flowDraftListDocument: Document<FlowDraftList, object> = {
  text: `query FlowDraftList{flowDrafts{name mine saved}}`,
};

export type RunEvents = { runEvents: RunDetail; };
export const runEventsDocument: Document<RunEvents, { id: string; }> = {
  text: `subscription RunEvents($id:String!){runEvents(id:$id){...RunDetail}}fragment RunDetail on FlowRun{...RunRow project user key steps{key state attempt started ended decidedBy model costUsd error}failure{code message hint}}fragment RunRow on FlowRun{id number flow version state attempt error created started ended}`,
};
