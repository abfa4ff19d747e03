// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type SuiteRow = { name: string; file: string; findings: Array<string>; target: string | null; dataset: string | null; items: number | null; repeat: number | null; scorers: Array<string> | null; gate: Array<string>; runs: number; budgetUsd: string | null; };

export type RunHead = { id: string; suite: string; target: string; started: string; prompt: string | null; repeat: number; state: 'running' | 'done' | 'failed' | 'cancelled' | 'interrupted'; total: number; done: number; failed: number; spentUsd: string; costUsd: string | null; error: string | null; verdict: 'pass' | 'fail' | 'unclear' | null; sentence: string; };

export type SuiteList = { evalSuites: Array<SuiteRow & { lastRun: RunHead | null; }>; datasets: Array<{ name: string; count: number; clusters: number; isWeighted: boolean; effectiveItems: number; error: string | null; }>; };
export const suiteListDocument: Document<SuiteList, object> = {
  text: `query SuiteList{evalSuites{...SuiteRow lastRun{...RunHead}}datasets{name count clusters isWeighted effectiveItems error}}fragment SuiteRow on EvalSuite{name file findings target dataset items repeat scorers gate runs budgetUsd}fragment RunHead on EvalRun{id suite target started prompt repeat state total done failed spentUsd costUsd error verdict sentence}`,
};

export type SuiteDetail = { evalSuite: SuiteRow | null; };
export const suiteDetailDocument: Document<SuiteDetail, { name: string; }> = {
  text: `query SuiteDetail($name:String!){evalSuite(name:$name){...SuiteRow}}fragment SuiteRow on EvalSuite{name file findings target dataset items repeat scorers gate runs budgetUsd}`,
};

export type SuiteRuns = { evalPlan: { items: number; clusters: number; repeats: number; answers: number; costUsd: string | null; capUsd: string | null; minutes: number | null; basedOn: string | null; detects: Array<{ name: string; fall: number; }>; }; evalRuns: Array<RunHead>; };
export const suiteRunsDocument: Document<SuiteRuns, { name: string; }> = {
  text: `query SuiteRuns($name:String!){evalPlan(suite:$name){items clusters repeats answers costUsd capUsd minutes basedOn detects{name fall}}evalRuns(suite:$name last:50){...RunHead}}fragment RunHead on EvalRun{id suite target started prompt repeat state total done failed spentUsd costUsd error verdict sentence}`,
};

export type SuiteScorers = { scorers: Array<{ name: string; kind: string; version: string; judge: { model: string; version: string; labels: number; unreadable: number | null; kappa: number | null; length: number | null; sensitivity: { value: number; low: number; high: number; } | null; specificity: { value: number; low: number; high: number; } | null; mayGate: boolean; voidBecause: string | null; } | null; }>; };
export const suiteScorersDocument: Document<SuiteScorers, { name: string; }> = {
  text: `query SuiteScorers($name:String!){scorers(suite:$name){name kind version judge{model version labels unreadable kappa length sensitivity{value low high}specificity{value low high}mayGate voidBecause}}}`,
};

export type EvalStart = { startEval: { id: string; }; };
export const evalStartDocument: Document<EvalStart, { suite: string; target?: string | null; new: boolean; }> = {
  text: `mutation EvalStart($suite:String!$target:String$new:Boolean!){startEval(suite:$suite target:$target new:$new){id}}`,
};

export type EvalCancel = { cancelEval: { id: string; }; };
export const evalCancelDocument: Document<EvalCancel, { id: string; }> = {
  text: `mutation EvalCancel($id:String!){cancelEval(id:$id){id}}`,
};

export type RunLive = { jobChanged: { state: 'running' | 'done' | 'failed' | 'cancelled' | 'interrupted'; total: number; done: number; failed: number; spentUsd: string | null; }; };
export const runLiveDocument: Document<RunLive, { id: string; }> = {
  text: `subscription RunLive($id:String!){jobChanged(id:$id){state total done failed spentUsd}}`,
};

export type RunDetail = { evalRun: RunHead & { rules: Array<{ score: string; rule: string; verdict: 'pass' | 'fail' | 'unclear'; why: string; itemsToDecide: number | null; }>; scores: Array<{ name: string; kind: string; value: number | null; low: number | null; high: number | null; method: string | null; n: number; missing: number; }>; }; };
export const runDetailDocument: Document<RunDetail, { id: string; }> = {
  text: `query RunDetail($id:String!){evalRun(id:$id){...RunHead rules{score rule verdict why itemsToDecide}scores{name kind value low high method n missing}}}fragment RunHead on EvalRun{id suite target started prompt repeat state total done failed spentUsd costUsd error verdict sentence}`,
};

export type RunItems = { evalRun: { items: { before: string | null; rows: Array<{ item: string; digest: string; repeat: number; tags: Array<string>; seconds: number; costUsd: string | null; error: string; scores: Array<{ name: string; value: number | null; why: string; }>; }>; }; }; };
export const runItemsDocument: Document<RunItems, { id: string; failed?: boolean | null; before?: string | null; }> = {
  text: `query RunItems($id:String!$failed:Boolean$before:String){evalRun(id:$id){items(failed:$failed last:100 before:$before){before rows{item digest repeat tags seconds costUsd error scores{name value why}}}}}`,
};

export type ItemWords = { evalRun: { items: { rows: Array<{ item: string; repeat: number; error: string; output: string | null; input: unknown | null; scores: Array<{ name: string; value: number | null; why: string; }>; }>; }; }; };
export const itemWordsDocument: Document<ItemWords, { id: string; digest: string; }> = {
  text: `query ItemWords($id:String!$digest:String!){evalRun(id:$id){items(digest:$digest last:20){rows{item repeat error output input scores{name value why}}}}}`,
};

export type RunComparison = { compareRuns: { base: string; head: string; verdict: 'pass' | 'fail' | 'unclear' | null; sentence: string; rules: Array<{ score: string; rule: string; verdict: 'pass' | 'fail' | 'unclear'; why: string; itemsToDecide: number | null; }>; score: string; itemsToDecide: number | null; costToDecideUsd: string | null; pairs: number; clusters: number; repeats: number; onlyInBase: number; onlyInHead: number; differences: Array<{ name: string; kind: string; base: { value: number | null; n: number; missing: number; }; head: { value: number | null; n: number; missing: number; }; value: number | null; low: number | null; high: number | null; method: string | null; allowed: number | null; corrected: number; }>; counts: { bothRight: number; newlyWrong: number; newlyRight: number; bothWrong: number; onlyInBase: number; onlyInHead: number; flaky: number; }; }; };
export const runComparisonDocument: Document<RunComparison, { base: string; head: string; }> = {
  text: `query RunComparison($base:String!$head:String!){compareRuns(base:$base head:$head){base head verdict sentence rules{score rule verdict why itemsToDecide}score itemsToDecide costToDecideUsd pairs clusters repeats onlyInBase onlyInHead differences{name kind base{value n missing}head{value n missing}value low high method allowed corrected}counts{bothRight newlyWrong newlyRight bothWrong onlyInBase onlyInHead flaky}}}`,
};

export type ComparedItems = { compareRuns: { items: { before: string | null; rows: Array<{ item: string; digest: string; tags: Array<string>; change: 'bothRight' | 'newlyWrong' | 'newlyRight' | 'bothWrong' | 'onlyInBase' | 'onlyInHead' | 'flaky'; flaky: boolean; base: Array<number>; head: Array<number>; }>; }; }; };
export const comparedItemsDocument: Document<ComparedItems, { base: string; head: string; change?: 'bothRight' | 'newlyWrong' | 'newlyRight' | 'bothWrong' | 'onlyInBase' | 'onlyInHead' | 'flaky' | null; before?: string | null; }> = {
  text: `query ComparedItems($base:String!$head:String!$change:ItemChangeKind$before:String){compareRuns(base:$base head:$head){items(change:$change last:100 before:$before){before rows{item digest tags change flaky base head}}}}`,
};
