// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type ModelRow = { name: string; provider: string; task: string; size: string; place: string; state: string; parameters: number | null; context: number | null; quality: number | null; license: string; price: { input: string | null; output: string | null; source: string; date: string; }; };

export type ModelList = { models: Array<ModelRow>; };
export const modelListDocument: Document<ModelList, object> = {
  text: `query ModelList{models{...ModelRow}}fragment ModelRow on Model{name provider task size place state parameters context quality license price{input output source date}}`,
};

export type ModelDetail = { model: ModelRow & { maxOutput: number | null; inputModalities: Array<string>; tools: boolean | null; logprobs: boolean | null; slots: number; queue: { busy: number; waiting: number; } | null; pace: Array<{ load: number; requests: number; firstTokenS: number | null; outputTokensPerS: number | null; }>; weights: { file: string; bytes: number; } | null; facts: Array<{ name: string; value: string; source: string; }>; }; };
export const modelDetailDocument: Document<ModelDetail, { name: string; }> = {
  text: `query ModelDetail($name:String!){model(name:$name){...ModelRow maxOutput inputModalities tools logprobs slots queue{busy waiting}pace{load requests firstTokenS outputTokensPerS}weights{file bytes}facts{name value source}}}fragment ModelRow on Model{name provider task size place state parameters context quality license price{input output source date}}`,
};

export type Advise = { advise: unknown; };
export const adviseDocument: Document<Advise, { input?: unknown | null; }> = {
  text: `query Advise($input:JSON){advise(input:$input)}`,
};
