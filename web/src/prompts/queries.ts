// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type PromptRow = { id: string; version: string; description: string; model: string | null; policy: string | null; role: string; error: string | null; uses: Array<{ kind: string; name: string; node: string; }>; };

export type PromptList = { prompts: Array<PromptRow>; };
export const promptListDocument: Document<PromptList, object> = {
  text: `query PromptList{prompts{...PromptRow}}fragment PromptRow on Prompt{id version description model policy role error uses{kind name node}}`,
};

export type PromptDetail = { prompt: PromptRow & { variables: Array<{ name: string; type: string; required: boolean; default: unknown | null; description: string; }>; } | null; };
export const promptDetailDocument: Document<PromptDetail, { id: string; }> = {
  text: `query PromptDetail($id:String!){prompt(id:$id){...PromptRow variables{name type required default description}}}fragment PromptRow on Prompt{id version description model policy role error uses{kind name node}}`,
};

export type PromptText = { prompt: { text: string; } | null; };
export const promptTextDocument: Document<PromptText, { id: string; }> = {
  text: `query PromptText($id:String!){prompt(id:$id){text}}`,
};

export type PromptHistory = { releases: Array<{ hash: string; created: number; createdBy: string; parts: Array<{ kind: string; name: string; version: string; }>; }>; environments: Array<{ name: string; live: { release: string; changed: number; } | null; }>; };
export const promptHistoryDocument: Document<PromptHistory, object> = {
  text: `query PromptHistory{releases(last:100){hash created createdBy parts{kind name version}}environments{name live{release changed}}}`,
};

export type PromptVersionText = { releasePart: { content: string; }; };
export const promptVersionTextDocument: Document<PromptVersionText, { name: string; version: string; }> = {
  text: `query PromptVersionText($name:String!$version:String!){releasePart(kind:"prompts" name:$name version:$version){content}}`,
};
