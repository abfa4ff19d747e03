// The only list of pages: address, entry of the navigation, who may open it, and where its code is.
import type { Component } from 'svelte';
import { match, type Parameters } from './kit/match';

/** What a page is given; one without parameters in its address takes none. */
export type Page = Component<{ parameters: Parameters }> | Component<Record<string, never>>;

export interface Route {
  path: string;
  title: string;
  entry: Entry['name'];
  /** Any of these opens it; none: anyone who is signed in. */
  may: readonly string[];
  load: () => Promise<{ default: Page }>;
}

export interface Entry {
  name: string;
  /** Tabs of the entry; the first one permitted is where it leads. */
  tabs: readonly { path: string; title: string; may: readonly string[] }[];
}

const EVERYONE: readonly string[] = [];
const ASK = ['ask'];
const RECORDS = ['read_records'];
const ALERTS = ['read_records', 'manage_alerts'];
const FLOWS = ['ask', 'manage_flows'];
const INBOX = ['approve', 'ask', 'read_records'];
const MODELS = ['ask', 'read_models'];
const MODELS_ALONE = ['read_models'];
const ANNOTATE = ['annotate', 'manage_evals'];
const EVALS = ['read_evals'];
const PROMPTS = ['ask', 'manage_flows'];
const RELEASES = ['read_releases', 'manage_releases'];
const RUNS = ['ask', 'read_records'];
const BUDGETS = ['read_budgets'];
const AUDIT = ['read_audit'];
const KEYS = ['read_keys', 'own_keys', 'manage_keys'];
const KNOWLEDGE = ['ask', 'manage_knowledge'];
const PEOPLE = ['read_users', 'manage_users'];
const SETTINGS = ['manage_settings'];
const WIDGETS = ['manage_keys'];
const SPEND = ['read_budgets', 'read_records'];

export const routes: readonly Route[] = [
  { path: '/', title: 'Home', entry: 'Home', may: EVERYONE, load: () => import('./home/Home.svelte') },
  { path: '/inbox', title: 'Inbox', entry: 'Home', may: INBOX, load: () => import('./flows/Inbox.svelte') },
  { path: '/play', title: 'Play', entry: 'Play', may: ASK, load: () => import('./routing/Play.svelte') },
  { path: '/flows', title: 'Flows', entry: 'Build', may: FLOWS, load: () => import('./flows/Flows.svelte') },
  { path: '/flows/:name', title: 'Flow', entry: 'Build', may: FLOWS, load: () => import('./flows/Flow.svelte') },
  {
    path: '/records',
    title: 'Records',
    entry: 'Monitor',
    may: RECORDS,
    load: () => import('./telemetry/Records.svelte'),
  },
  {
    path: '/records/sessions',
    title: 'Conversations',
    entry: 'Monitor',
    may: RECORDS,
    load: () => import('./telemetry/Conversations.svelte'),
  },
  {
    path: '/records/:trace',
    title: 'Record',
    entry: 'Monitor',
    may: RECORDS,
    load: () => import('./telemetry/Record.svelte'),
  },
  { path: '/runs', title: 'Runs', entry: 'Monitor', may: RUNS, load: () => import('./flows/Runs.svelte') },
  { path: '/runs/:id', title: 'Run', entry: 'Monitor', may: INBOX, load: () => import('./flows/Run.svelte') },
  { path: '/batches', title: 'Batches', entry: 'Monitor', may: RUNS, load: () => import('./batches/Batches.svelte') },
  {
    path: '/batches/:id',
    title: 'Batch',
    entry: 'Monitor',
    may: RUNS,
    load: () => import('./batches/Batch.svelte'),
  },
  { path: '/spend', title: 'Spend', entry: 'Monitor', may: SPEND, load: () => import('./usage/Spend.svelte') },
  { path: '/alerts', title: 'Alerts', entry: 'Monitor', may: ALERTS, load: () => import('./alerts/Alerts.svelte') },
  {
    path: '/quality',
    title: 'Quality',
    entry: 'Quality',
    may: RECORDS,
    load: () => import('./quality/Quality.svelte'),
  },
  {
    path: '/quality/:policy',
    title: 'Quality',
    entry: 'Quality',
    may: RECORDS,
    load: () => import('./quality/Quality.svelte'),
  },
  { path: '/models', title: 'Models', entry: 'Models', may: MODELS, load: () => import('./catalog/Models.svelte') },
  {
    path: '/models/advise',
    title: 'Advisor',
    entry: 'Models',
    may: MODELS,
    load: () => import('./catalog/Advise.svelte'),
  },
  { path: '/models/*name', title: 'Model', entry: 'Models', may: MODELS, load: () => import('./catalog/Model.svelte') },
  { path: '/access/keys', title: 'Keys', entry: 'Admin', may: KEYS, load: () => import('./accounts/Keys.svelte') },
  {
    path: '/access/people',
    title: 'People',
    entry: 'Admin',
    may: PEOPLE,
    load: () => import('./accounts/People.svelte'),
  },
  {
    path: '/access/sessions',
    title: 'Sessions',
    entry: 'Admin',
    may: PEOPLE,
    load: () => import('./accounts/OpenSessions.svelte'),
  },
  { path: '/access/audit', title: 'Audit', entry: 'Admin', may: AUDIT, load: () => import('./accounts/Audit.svelte') },
  { path: '/account', title: 'My account', entry: '', may: EVERYONE, load: () => import('./accounts/Account.svelte') },
  {
    path: '/knowledge',
    title: 'Knowledge',
    entry: 'Build',
    may: KNOWLEDGE,
    load: () => import('./knowledge/Knowledge.svelte'),
  },
  {
    path: '/knowledge/*place',
    title: 'Knowledge base',
    entry: 'Build',
    may: KNOWLEDGE,
    load: () => import('./knowledge/Place.svelte'),
  },
  {
    path: '/settings',
    title: 'Settings',
    entry: 'Admin',
    may: SETTINGS,
    load: () => import('./settings/Settings.svelte'),
  },
  {
    path: '/spend/budgets',
    title: 'Budgets',
    entry: 'Monitor',
    may: BUDGETS,
    load: () => import('./usage/Budgets.svelte'),
  },
  {
    path: '/releases',
    title: 'Releases',
    entry: 'Releases',
    may: RELEASES,
    load: () => import('./releases/Releases.svelte'),
  },
  {
    path: '/releases/edges',
    title: 'Edges',
    entry: 'Releases',
    may: RELEASES,
    load: () => import('./releases/Edges.svelte'),
  },
  {
    path: '/releases/plan/:id',
    title: 'Plan',
    entry: 'Releases',
    may: RELEASES,
    load: () => import('./releases/Plan.svelte'),
  },
  {
    path: '/releases/canary/:environment',
    title: 'Canary',
    entry: 'Releases',
    may: RELEASES,
    load: () => import('./releases/Canary.svelte'),
  },
  {
    path: '/releases/:hash',
    title: 'Release',
    entry: 'Releases',
    may: RELEASES,
    load: () => import('./releases/Release.svelte'),
  },
  { path: '/prompts', title: 'Prompts', entry: 'Build', may: PROMPTS, load: () => import('./prompts/Prompts.svelte') },
  {
    path: '/prompts/:id',
    title: 'Prompt',
    entry: 'Build',
    may: PROMPTS,
    load: () => import('./prompts/Prompt.svelte'),
  },
  { path: '/evals', title: 'Evals', entry: 'Quality', may: EVALS, load: () => import('./suites/Suites.svelte') },
  {
    path: '/evals/compare',
    title: 'Comparison',
    entry: 'Quality',
    may: EVALS,
    load: () => import('./suites/Compare.svelte'),
  },
  {
    path: '/evals/judges',
    title: 'Judges',
    entry: 'Quality',
    may: EVALS,
    load: () => import('./suites/Judges.svelte'),
  },
  { path: '/evals/bias', title: 'Bias', entry: 'Quality', may: EVALS, load: () => import('./bias/BiasRuns.svelte') },
  { path: '/evals/bias/:id', title: 'Bias', entry: 'Quality', may: EVALS, load: () => import('./bias/BiasRun.svelte') },
  { path: '/evals/runs/*id', title: 'Run', entry: 'Quality', may: EVALS, load: () => import('./suites/Run.svelte') },
  { path: '/evals/:suite', title: 'Suite', entry: 'Quality', may: EVALS, load: () => import('./suites/Suite.svelte') },
  {
    path: '/annotate',
    title: 'Annotate',
    entry: 'Quality',
    may: ANNOTATE,
    load: () => import('./annotation/Queues.svelte'),
  },
  {
    path: '/annotate/:queue',
    title: 'Annotate',
    entry: 'Quality',
    may: ANNOTATE,
    load: () => import('./annotation/Queue.svelte'),
  },
  {
    path: '/decisions',
    title: 'Decisions',
    entry: 'Models',
    may: RECORDS,
    load: () => import('./decisions/Decisions.svelte'),
  },
  {
    path: '/decisions/:id',
    title: 'Decision',
    entry: 'Models',
    may: RECORDS,
    load: () => import('./decisions/Decision.svelte'),
  },
  {
    path: '/small-models/tuning',
    title: 'Tuning',
    entry: 'Models',
    may: MODELS_ALONE,
    load: () => import('./tuning/TuningRuns.svelte'),
  },
  {
    path: '/small-models/adapters',
    title: 'Adapters',
    entry: 'Models',
    may: MODELS_ALONE,
    load: () => import('./tuning/Adapters.svelte'),
  },
  {
    path: '/small-models/tuning/:id',
    title: 'Tuning run',
    entry: 'Models',
    may: MODELS_ALONE,
    load: () => import('./tuning/TuningRun.svelte'),
  },
  { path: '/widgets', title: 'Widgets', entry: 'Build', may: WIDGETS, load: () => import('./widgets/Widgets.svelte') },
  {
    path: '/widgets/:name',
    title: 'Widget',
    entry: 'Build',
    may: WIDGETS,
    load: () => import('./widgets/Widget.svelte'),
  },
];

export const entries: readonly Entry[] = [
  { name: 'Home', tabs: [{ path: '/', title: 'Home', may: EVERYONE }] },
  { name: 'Play', tabs: [{ path: '/play', title: 'Play', may: ASK }] },
  {
    name: 'Build',
    tabs: [
      { path: '/flows', title: 'Flows', may: FLOWS },
      { path: '/knowledge', title: 'Knowledge', may: KNOWLEDGE },
      { path: '/prompts', title: 'Prompts', may: PROMPTS },
      { path: '/widgets', title: 'Widgets', may: WIDGETS },
    ],
  },
  {
    name: 'Monitor',
    tabs: [
      { path: '/records', title: 'Records', may: RECORDS },
      { path: '/records/sessions', title: 'Conversations', may: RECORDS },
      { path: '/runs', title: 'Runs', may: RUNS },
      { path: '/batches', title: 'Batches', may: RUNS },
      { path: '/spend', title: 'Spend', may: SPEND },
      { path: '/spend/budgets', title: 'Budgets', may: BUDGETS },
      { path: '/alerts', title: 'Alerts', may: ALERTS },
    ],
  },
  {
    name: 'Quality',
    tabs: [
      { path: '/quality', title: 'Quality', may: RECORDS },
      { path: '/evals', title: 'Evals', may: EVALS },
      { path: '/annotate', title: 'Annotate', may: ANNOTATE },
      { path: '/evals/judges', title: 'Judges', may: EVALS },
      { path: '/evals/bias', title: 'Bias', may: EVALS },
    ],
  },
  {
    name: 'Models',
    tabs: [
      { path: '/models', title: 'Models', may: MODELS },
      { path: '/models/advise', title: 'Advisor', may: MODELS },
      { path: '/decisions', title: 'Decisions', may: RECORDS },
      { path: '/small-models/tuning', title: 'Tuning', may: MODELS_ALONE },
    ],
  },
  {
    name: 'Admin',
    tabs: [
      { path: '/access/keys', title: 'Keys', may: KEYS },
      { path: '/access/people', title: 'People', may: PEOPLE },
      { path: '/access/sessions', title: 'Sessions', may: PEOPLE },
      { path: '/access/audit', title: 'Audit', may: AUDIT },
      { path: '/settings', title: 'Settings', may: SETTINGS },
    ],
  },
  {
    name: 'Releases',
    tabs: [
      { path: '/releases', title: 'Releases', may: RELEASES },
      { path: '/releases/edges', title: 'Edges', may: RELEASES },
    ],
  },
];

export function find(path: string): { route: Route; parameters: Parameters } | null {
  for (const route of routes) {
    const parameters = match(route.path, path);
    if (parameters) return { route, parameters };
  }
  return null;
}
