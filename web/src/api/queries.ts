// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type Approval = { key: string; request: unknown | null; approvers: Array<string>; mayDecide: boolean; run: { id: string; flow: string; created: number; }; };

export type ModelSizes = { models: Array<{ name: string; size: string; }>; };
export const modelSizesDocument: Document<ModelSizes, object> = {
  text: `query ModelSizes{models{name size}}`,
};

export type PaletteNames = { flows: Array<{ name: string; }>; knowledge: Array<{ name: string; }>; };
export const paletteNamesDocument: Document<PaletteNames, object> = {
  text: `query PaletteNames{flows{name}knowledge{name}}`,
};

export type ApprovalList = { waiting: Array<Approval>; };
export const approvalListDocument: Document<ApprovalList, object> = {
  text: `query ApprovalList{waiting{...Approval}}fragment Approval on Waiting{key request approvers mayDecide run{id flow created}}`,
};

export type ApprovalsLive = { approvalsChanged: Array<Approval>; };
export const approvalsLiveDocument: Document<ApprovalsLive, object> = {
  text: `subscription ApprovalsLive{approvalsChanged{...Approval}}fragment Approval on Waiting{key request approvers mayDecide run{id flow created}}`,
};

export type AuthorNames = { authors: Array<{ id: string; name: string; }>; };
export const authorNamesDocument: Document<AuthorNames, { ids: Array<string>; }> = {
  text: `query AuthorNames($ids:[String!]!){authors(ids:$ids){id name}}`,
};
