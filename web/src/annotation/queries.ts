// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type QueueHead = { name: string; rubric: string; labels: number; wanted: number; rules: Array<string>; needed: number; done: number; mine: number; };

export type OpenItem = { id: string; input: unknown; answers: Array<string>; expected: unknown | null; criteria: string; expires: number; options: Array<{ name: string; words: Array<string>; }>; };

export type QueueList = { annotationQueues: Array<QueueHead>; };
export const queueListDocument: Document<QueueList, object> = {
  text: `query QueueList{annotationQueues{...QueueHead}}fragment QueueHead on AnnotationQueue{name rubric labels wanted rules needed done mine}`,
};

export type QueueWork = { annotationQueue: QueueHead & { skipReasons: Array<'unclear' | 'cannot_judge' | 'language' | 'sensitive' | 'broken'>; next: OpenItem | null; labeled: Array<OpenItem>; }; };
export const queueWorkDocument: Document<QueueWork, { name: string; }> = {
  text: `query QueueWork($name:String!){annotationQueue(name:$name){...QueueHead skipReasons next{...OpenItem}labeled{...OpenItem}}}fragment QueueHead on AnnotationQueue{name rubric labels wanted rules needed done mine}fragment OpenItem on AnnotationItem{id input answers expected criteria expires options{name words}}`,
};

export type QueueAnnotate = { annotate: { needed: number; done: number; mine: number; next: OpenItem | null; }; };
export const queueAnnotateDocument: Document<QueueAnnotate, { queue: string; item: string; scores?: unknown | null; comment?: string | null; skip?: 'unclear' | 'cannot_judge' | 'language' | 'sensitive' | 'broken' | null; }> = {
  text: `mutation QueueAnnotate($queue:String!$item:String!$scores:JSON$comment:String$skip:AnnotationSkip){annotate(queue:$queue item:$item scores:$scores comment:$comment skip:$skip){needed done mine next{...OpenItem}}}fragment OpenItem on AnnotationItem{id input answers expected criteria expires options{name words}}`,
};
