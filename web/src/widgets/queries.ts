// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type WidgetView = { id: string; name: string; key: string; target: string; origins: Array<string>; page: boolean; title: string; greeting: string; note: string; perConversation: number; perMinute: number; perHour: number; openAnswers: number; characters: number; created: number; stopped: number | null; usdPerDay: { limit: string | null; spent: string | null; }; path: string; };

export type WidgetList = { widgets: Array<WidgetView>; };
export const widgetListDocument: Document<WidgetList, object> = {
  text: `query WidgetList{widgets{...WidgetView}}fragment WidgetView on Widget{id name key target origins page title greeting note perConversation perMinute perHour openAnswers characters created stopped usdPerDay{limit spent}path}`,
};

export type WidgetCreate = { createWidget: { name: string; }; };
export const widgetCreateDocument: Document<WidgetCreate, { name: string; target: string; origins: Array<string>; usdPerDay?: string | null; }> = {
  text: `mutation WidgetCreate($name:String!$target:String!$origins:[String!]!$usdPerDay:Dollars){createWidget(name:$name target:$target origins:$origins usdPerDay:$usdPerDay){name}}`,
};

export type WidgetSet = { setWidget: { name: string; }; };
export const widgetSetDocument: Document<WidgetSet, { name: string; origins: Array<string>; page: boolean; title: string; greeting: string; note: string; perConversation: number; perMinute: number; perHour: number; openAnswers: number; characters: number; }> = {
  text: `mutation WidgetSet($name:String!$origins:[String!]!$page:Boolean!$title:String!$greeting:String!$note:String!$perConversation:Int!$perMinute:Int!$perHour:Int!$openAnswers:Int!$characters:Int!){setWidget(name:$name origins:$origins page:$page title:$title greeting:$greeting note:$note perConversation:$perConversation perMinute:$perMinute perHour:$perHour openAnswers:$openAnswers characters:$characters){name}}`,
};

export type WidgetWarnings = { widget: { warnings: Array<string>; }; };
export const widgetWarningsDocument: Document<WidgetWarnings, { name: string; }> = {
  text: `query WidgetWarnings($name:String!){widget(name:$name){warnings}}`,
};

export type WidgetUse = { usage: { rows: Array<{ requests: number; errors: number; costUsd: string; }>; }; };
export const widgetUseDocument: Document<WidgetUse, { key: string; }> = {
  text: `query WidgetUse($key:String!){usage(filter:{key:$key}by:[]){rows{requests errors costUsd}}}`,
};

export type WidgetStop = { revokeKey: { id: string; }; };
export const widgetStopDocument: Document<WidgetStop, { key: string; }> = {
  text: `mutation WidgetStop($key:String!){revokeKey(id:$key){id}}`,
};
