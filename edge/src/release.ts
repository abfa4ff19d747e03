// The compiled release as `sizewise edge build` writes it (sizewise/edge/compiled_release.py): data, never code.

import type { GuardData } from './guards/rules.js';
import type { Predictor } from './predictor.js';

export type Place = 'process' | 'machine' | 'network' | 'region' | 'anyone';
export type DataClass = 'public' | 'internal' | 'confidential';

/** Pico-dollars per token; null: unknown. `tiers`: [tokens, price], rising; `others`: at other times of day. */
export interface Price {
  input: number | null;
  output: number | null;
  cached: number | null;
  reasoning: number | null;
  tiers: [number, Price][];
  others: Price[];
  request: number | null;
}

/** One model. `via`: who is asked: a provider's address, the binding of Workers AI, or the gateway at home. */
export interface Row {
  name: string;
  owner: string;
  via: 'provider' | 'workers-ai' | 'origin';
  model: string;
  url: string;
  secret: string;
  auth: string;
  headers: Record<string, string>;
  secretHeaders: Record<string, string>;
  rename: Record<string, string>;
  drop: string[];
  timeoutS: number;
  place: Place;
  task: string;
  kind: string;
  context: number | null;
  maxOutput: number | null;
  modalities: string[];
  tools: boolean | null;
  logprobs: boolean | null;
  singleChoice: boolean;
  knowsModalities: boolean;
  strength: number;
  quality: number | null;
  size: string;
  created: number;
  price: Price;
}

export interface Options {
  retries: number;
  maxRetryDelayS: number;
  threshold: number;
  holdS: number;
  whenExhausted: 'refuse' | 'show_marked';
  minGain: number;
  fallback: 'large' | 'small';
  order: string[];
  /** A cascade without: no reply can be judged here, the best model answers. */
  judges: boolean;
}

/** What a value of `model` means. `error`: it is known, but cannot be asked. */
export interface Plan {
  policy: string;
  kind: 'fixed' | 'cheapest' | 'cascade' | 'learned' | 'origin';
  models: string[];
  exact: boolean;
  namesModel: boolean;
  why: string;
  options: Options;
}

export interface Rule {
  dataClass: DataClass | null;
  online: boolean;
  reach: Partial<Record<DataClass, Place>>;
}

export interface Release {
  format: number;
  hash: string;
  /** Of all that is here, the models too: a release does not have these. */
  build: string;
  version: string;
  name: string;
  built: number;
  rows: Record<string, Row>;
  plans: Record<string, Plan>;
  short: Record<string, string[]>;
  roles: string[];
  aliasOf: Record<string, string>;
  reach: Record<DataClass, Place>;
  dataClass: DataClass;
  projects: Record<string, Rule>;
  policies: Record<string, Rule>;
  limits: { bodyBytes: number; requestsPerMinute: number };
  origin: string;
  /** Name of the secret with the key for records; empty: none are sent. */
  recordsKey: string;
  revoked: string[];
  guards: GuardData;
  /** Of [router] predictor; its heads under the names of rows. */
  predictor: Predictor | null;
  /** Who answers /v1/decisions: what was learned of them is at the gateway. */
  decisions: 'here' | 'origin';
  /** Seconds that an answer at temperature 0 is kept; 0: none is. */
  cacheS: number;
}
