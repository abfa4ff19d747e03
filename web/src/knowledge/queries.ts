// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type KnowledgeRow = { name: string; project: string; created: number | null; model: string; documents: number; passages: number; waiting: number; quarantined: number; missing: number | null; };

export type KnowledgeHit = { id: string; document: string; source: string; title: string; text: string; score: number; citation: string; dataClass: 'public' | 'internal' | 'confidential'; suspect: Array<string>; };

export type KnowledgeBases = { knowledge: Array<KnowledgeRow>; };
export const knowledgeBasesDocument: Document<KnowledgeBases, object> = {
  text: `query KnowledgeBases{knowledge{...KnowledgeRow}}fragment KnowledgeRow on KnowledgeBase{name project created model documents passages waiting quarantined missing}`,
};

export type KnowledgeDocuments = { documents: Array<{ id: string; source: string; title: string; kind: string; state: string; dataClass: 'public' | 'internal' | 'confidential'; readers: Array<string>; pages: number; changed: number; notes: Array<string>; }>; };
export const knowledgeDocumentsDocument: Document<KnowledgeDocuments, { base: string; after?: string | null; }> = {
  text: `query KnowledgeDocuments($base:String!$after:String){documents(base:$base after:$after limit:100){id source title kind state dataClass readers pages changed notes}}`,
};

export type KnowledgeDocument = { document: { id: string; source: string; title: string; kind: string; state: string; dataClass: 'public' | 'internal' | 'confidential'; readers: Array<string>; pages: number; created: number; changed: number; addedBy: string; notes: Array<string>; passages: Array<{ id: string; text: string; page: number; headings: Array<string>; tokens: number; state: string; suspect: Array<string>; }> | null; }; };
export const knowledgeDocumentDocument: Document<KnowledgeDocument, { base: string; id: string; }> = {
  text: `query KnowledgeDocument($base:String!$id:String!){document(base:$base id:$id){id source title kind state dataClass readers pages created changed addedBy notes passages{id text page headings tokens state suspect}}}`,
};

export type KnowledgeSearch = { passages: { results: Array<KnowledgeHit>; warnings: Array<string>; }; };
export const knowledgeSearchDocument: Document<KnowledgeSearch, { base: string; query: string; limit: number; mode: 'hybrid' | 'vector' | 'words'; }> = {
  text: `query KnowledgeSearch($base:String!$query:String!$limit:Int!$mode:SearchMode!){passages(base:$base query:$query limit:$limit mode:$mode){results{...KnowledgeHit}warnings}}fragment KnowledgeHit on SearchResult{id document source title text score citation dataClass suspect}`,
};

export type KnowledgeAdd = { addDocument: { id: string; outcome: string; passages: number; quarantined: number; notes: Array<string>; }; };
export const knowledgeAddDocument: Document<KnowledgeAdd, { base: string; source: string; data: string; dataClass?: 'public' | 'internal' | 'confidential' | null; }> = {
  text: `mutation KnowledgeAdd($base:String!$source:String!$data:String!$dataClass:DataClass){addDocument(base:$base source:$source data:$data dataClass:$dataClass){id outcome passages quarantined notes}}`,
};

export type KnowledgeEmbed = { embedDocuments: { embedded: number; waiting: number; }; };
export const knowledgeEmbedDocument: Document<KnowledgeEmbed, { base: string; }> = {
  text: `mutation KnowledgeEmbed($base:String!){embedDocuments(base:$base){embedded waiting}}`,
};

export type KnowledgeRebuild = { rebuildKnowledge: { checked: number; missing: number; total: number; next: string; }; };
export const knowledgeRebuildDocument: Document<KnowledgeRebuild, { base: string; all: boolean; after: string; }> = {
  text: `mutation KnowledgeRebuild($base:String!$all:Boolean!$after:String!){rebuildKnowledge(base:$base all:$all after:$after){checked missing total next}}`,
};

export type KnowledgeApprove = { approveDocument: { passages: number; }; };
export const knowledgeApproveDocument: Document<KnowledgeApprove, { base: string; id: string; }> = {
  text: `mutation KnowledgeApprove($base:String!$id:String!){approveDocument(base:$base id:$id){passages}}`,
};

export type KnowledgeRemove = { removeDocument: boolean; };
export const knowledgeRemoveDocument: Document<KnowledgeRemove, { base: string; id: string; }> = {
  text: `mutation KnowledgeRemove($base:String!$id:String!){removeDocument(base:$base id:$id)}`,
};

export type KnowledgeRemoveBase = { removeKnowledge: boolean; };
export const knowledgeRemoveBaseDocument: Document<KnowledgeRemoveBase, { base: string; }> = {
  text: `mutation KnowledgeRemoveBase($base:String!){removeKnowledge(base:$base)}`,
};
