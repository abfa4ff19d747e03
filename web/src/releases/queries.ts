// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type EnvironmentCard = { name: string; isDefault: boolean; source: string; approve: number; live: { release: string; previous: string | null; canary: string | null; share: number; since: number; changed: number; changedBy: string; } | null; problem: string; moves: Array<{ release: string; before: string | null; at: number; by: string; action: string; reason: string; }>; plans: Array<{ id: string; release: string; source: string; created: number; createdBy: string; }>; edges: EdgeCounts; };

export type EdgeCounts = { total: number; failing: number; lagging: number; silent: number; current: number; revoked: number; };

export type EdgeRow = { name: string; kind: string; environment: string; standing: 'failing' | 'lagging' | 'silent' | 'current' | 'revoked'; release: string | null; wanted: string | null; wantedSince: number | null; version: string; seen: number; records: number; waiting: number; lost: number; note: string; };

export type SavedRelease = { hash: string; created: number; createdBy: string; parts: Array<{ kind: string; name: string; version: string; }>; };

export type PlanView = { id: string; sentence: string; environment: string; source: string; release: string; base: string; created: number; createdBy: string; applied: number | null; stale: boolean; changes: Array<{ sign: string; kind: string; name: string; details: Array<string>; breaking: Array<string>; }>; missing: Array<{ kind: string; name: string; hint: string; }>; effects: Array<{ kind: string; name: string; sentence: string; measured: boolean; }>; gates: Array<{ eval: string; verdict: 'pass' | 'fail' | 'unclear' | null; sentence: string; at: number | null; }>; approvals: Array<string>; needed: number; };

export type CanaryMeasure = { name: string; margin: number; value: number | null; low: number | null; high: number | null; evidence: number; certified: number; };

export type CanaryView = { environment: string; release: string; stable: string; state: string; paused: boolean; step: number; steps: Array<number>; share: number; started: number; ended: number | null; reason: string; sentence: string; evidenceSentence: string; limits: Array<string>; units: { canary: number; stable: number; step: number; needed: number; }; pairs: { seen: number; needed: number; }; evidence: { value: number; needed: number; metric: string; clock: string; }; certification: { value: number; needed: number; metric: string; forecastDays: number | null; }; metrics: Array<CanaryMeasure>; failures: Array<{ trace: string; at: number; }>; ticks: Array<{ at: number; canaryUnits: number; stableUnits: number; metrics: Array<CanaryMeasure>; }>; lastTick: number | null; servers: Array<{ name: string; at: number; confirmed: boolean; }>; };

export type ReleaseOverview = { environments: Array<EnvironmentCard>; edges: { rows: Array<EdgeRow>; before: string | null; }; releases: Array<SavedRelease>; gitSync: { url: string; branch: string; commit: string | null; release: string | null; checked: number | null; error: string | null; } | null; };
export const releaseOverviewDocument: Document<ReleaseOverview, object> = {
  text: `query ReleaseOverview{environments{...EnvironmentCard}edges(last:8){rows{...EdgeRow}before}releases(last:100){...SavedRelease}gitSync{url branch commit release checked error}}fragment EnvironmentCard on Environment{name isDefault source approve live{release previous canary share since changed changedBy}problem moves{release before at by action reason}plans{id release source created createdBy}edges{...EdgeCounts}}fragment EdgeCounts on EdgeCounts{total failing lagging silent current revoked}fragment EdgeRow on Edge{name kind environment standing release wanted wantedSince version seen records waiting lost note}fragment SavedRelease on Release{hash created createdBy parts{kind name version}}`,
};

export type EdgeList = { edges: { rows: Array<EdgeRow>; before: string | null; }; };
export const edgeListDocument: Document<EdgeList, { filter?: { environment?: string | null; standing?: 'failing' | 'lagging' | 'silent' | 'current' | 'revoked' | null; words?: string | null; } | null; last: number; before?: string | null; }> = {
  text: `query EdgeList($filter:EdgeFilter$last:Int!$before:String){edges(filter:$filter last:$last before:$before){rows{...EdgeRow}before}}fragment EdgeRow on Edge{name kind environment standing release wanted wantedSince version seen records waiting lost note}`,
};

export type EdgeGroups = { environments: Array<{ name: string; source: string; approve: number; live: { release: string; changed: number; } | null; edges: EdgeCounts; }>; };
export const edgeGroupsDocument: Document<EdgeGroups, object> = {
  text: `query EdgeGroups{environments{name source approve live{release changed}edges{...EdgeCounts}}}fragment EdgeCounts on EdgeCounts{total failing lagging silent current revoked}`,
};

export type ReleaseDetail = { release: SavedRelease & { requires: unknown; }; environments: Array<EnvironmentCard>; };
export const releaseDetailDocument: Document<ReleaseDetail, { hash: string; }> = {
  text: `query ReleaseDetail($hash:String!){release(hash:$hash){...SavedRelease requires}environments{...EnvironmentCard}}fragment SavedRelease on Release{hash created createdBy parts{kind name version}}fragment EnvironmentCard on Environment{name isDefault source approve live{release previous canary share since changed changedBy}problem moves{release before at by action reason}plans{id release source created createdBy}edges{...EdgeCounts}}fragment EdgeCounts on EdgeCounts{total failing lagging silent current revoked}`,
};

export type ReleasePartText = { releasePart: { content: string; }; };
export const releasePartTextDocument: Document<ReleasePartText, { kind: string; name: string; version: string; }> = {
  text: `query ReleasePartText($kind:String!$name:String!$version:String!){releasePart(kind:$kind name:$name version:$version){content}}`,
};

export type ReleasePlanView = { releasePlan: PlanView; };
export const releasePlanViewDocument: Document<ReleasePlanView, { id: string; }> = {
  text: `query ReleasePlanView($id:String!){releasePlan(id:$id){...PlanView}}fragment PlanView on ReleasePlan{id sentence environment source release base created createdBy applied stale changes{sign kind name details breaking}missing{kind name hint}effects{kind name sentence measured}gates{eval verdict sentence at}approvals needed}`,
};

export type ReleasePlanMade = { planRelease: PlanView; };
export const releasePlanMadeDocument: Document<ReleasePlanMade, { from: string; to: string; }> = {
  text: `mutation ReleasePlanMade($from:String!$to:String!){planRelease(from:$from to:$to){...PlanView}}fragment PlanView on ReleasePlan{id sentence environment source release base created createdBy applied stale changes{sign kind name details breaking}missing{kind name hint}effects{kind name sentence measured}gates{eval verdict sentence at}approvals needed}`,
};

export type ReleaseApprove = { approveRelease: PlanView; };
export const releaseApproveDocument: Document<ReleaseApprove, { plan: string; }> = {
  text: `mutation ReleaseApprove($plan:String!){approveRelease(plan:$plan){...PlanView}}fragment PlanView on ReleasePlan{id sentence environment source release base created createdBy applied stale changes{sign kind name details breaking}missing{kind name hint}effects{kind name sentence measured}gates{eval verdict sentence at}approvals needed}`,
};

export type ReleaseApply = { applyRelease: { name: string; live: { release: string; canary: string | null; } | null; }; };
export const releaseApplyDocument: Document<ReleaseApply, { plan: string; breaking: boolean; reason: string; edges: Array<string>; }> = {
  text: `mutation ReleaseApply($plan:String!$breaking:Boolean!$reason:String!$edges:[String!]!){applyRelease(plan:$plan breaking:$breaking reason:$reason edges:$edges){name live{release canary}}}`,
};

export type ReleaseRollback = { rollbackRelease: { name: string; live: { release: string; } | null; }; };
export const releaseRollbackDocument: Document<ReleaseRollback, { environment: string; to: string; reason: string; }> = {
  text: `mutation ReleaseRollback($environment:String!$to:String!$reason:String!){rollbackRelease(environment:$environment to:$to reason:$reason){name live{release}}}`,
};

export type ReleasePromote = { promoteRelease: { name: string; live: { release: string; } | null; }; };
export const releasePromoteDocument: Document<ReleasePromote, { environment: string; reason: string; }> = {
  text: `mutation ReleasePromote($environment:String!$reason:String!){promoteRelease(environment:$environment reason:$reason){name live{release}}}`,
};

export type CanaryNow = { canary: CanaryView | null; };
export const canaryNowDocument: Document<CanaryNow, { environment: string; }> = {
  text: `query CanaryNow($environment:String!){canary(environment:$environment last:240){...CanaryView}}fragment CanaryView on Canary{environment release stable state paused step steps share started ended reason sentence evidenceSentence limits units{canary stable step needed}pairs{seen needed}evidence{value needed metric clock}certification{value needed metric forecastDays}metrics{...CanaryMeasure}failures{trace at}ticks{at canaryUnits stableUnits metrics{...CanaryMeasure}}lastTick servers{name at confirmed}}fragment CanaryMeasure on CanaryMetric{name margin value low high evidence certified}`,
};

export type CanaryLive = { canaryChanged: CanaryView | null; };
export const canaryLiveDocument: Document<CanaryLive, { environment: string; }> = {
  text: `subscription CanaryLive($environment:String!){canaryChanged(environment:$environment){...CanaryView}}fragment CanaryView on Canary{environment release stable state paused step steps share started ended reason sentence evidenceSentence limits units{canary stable step needed}pairs{seen needed}evidence{value needed metric clock}certification{value needed metric forecastDays}metrics{...CanaryMeasure}failures{trace at}ticks{at canaryUnits stableUnits metrics{...CanaryMeasure}}lastTick servers{name at confirmed}}fragment CanaryMeasure on CanaryMetric{name margin value low high evidence certified}`,
};

export type CanaryPause = { pauseRelease: { paused: boolean; }; };
export const canaryPauseDocument: Document<CanaryPause, { environment: string; }> = {
  text: `mutation CanaryPause($environment:String!){pauseRelease(environment:$environment){paused}}`,
};

export type CanaryResume = { resumeRelease: { paused: boolean; }; };
export const canaryResumeDocument: Document<CanaryResume, { environment: string; }> = {
  text: `mutation CanaryResume($environment:String!){resumeRelease(environment:$environment){paused}}`,
};
