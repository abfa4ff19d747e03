// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type BatchRow = { id: string; project: string; status: string; sentence: string; endpoint: string; created: number; expires: number; ended: number | null; total: number; done: number; failed: number; costUsd: string; maxCostUsd: string | null; };

export type BatchList = { batches: Array<BatchRow>; };
export const batchListDocument: Document<BatchList, { before?: string | null; }> = {
  text: `query BatchList($before:ID){batches(first:50 before:$before unfinished:false){...BatchRow}}fragment BatchRow on Batch{id project status sentence endpoint created expires ended total done failed costUsd maxCostUsd}`,
};

export type RunningBatches = { batches: Array<BatchRow>; };
export const runningBatchesDocument: Document<RunningBatches, object> = {
  text: `query RunningBatches{batches(first:100 unfinished:true){...BatchRow}}fragment BatchRow on Batch{id project status sentence endpoint created expires ended total done failed costUsd maxCostUsd}`,
};

export type BatchDetail = { batch: BatchRow & { inputFile: string; outputFile: string | null; errorFile: string | null; cut: string | null; errors: Array<{ code: string; message: string; line: number | null; }>; requestErrors: Array<{ code: string; count: number; }>; } | null; };
export const batchDetailDocument: Document<BatchDetail, { id: string; }> = {
  text: `query BatchDetail($id:ID!){batch(id:$id){...BatchRow inputFile outputFile errorFile cut errors{code message line}requestErrors{code count}}}fragment BatchRow on Batch{id project status sentence endpoint created expires ended total done failed costUsd maxCostUsd}`,
};

export type BatchCancel = { cancelBatch: { id: string; }; };
export const batchCancelDocument: Document<BatchCancel, { id: string; }> = {
  text: `mutation BatchCancel($id:ID!){cancelBatch(id:$id){id}}`,
};
