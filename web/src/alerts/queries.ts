// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type AlertView = { name: string; metric: string; by: Array<string>; windowS: number; warning: number | null; alert: number | null; receivers: Array<string>; problem: string; states: Array<{ labels: Array<{ name: string; value: string; }>; state: 'ok' | 'pending' | 'firing' | 'resolved'; severity: string; value: number | null; since: number; reason: string; silencedUntil: number | null; }>; };

export type AlertList = { alerts: Array<AlertView>; silences: Array<{ id: string; rule: string; created: number; ends: number; author: string; reason: string; covers: number; }>; };
export const alertListDocument: Document<AlertList, object> = {
  text: `query AlertList{alerts{...AlertView}silences{id rule created ends author reason covers}}fragment AlertView on Alert{name metric by windowS warning alert receivers problem states{labels{name value}state severity value since reason silencedUntil}}`,
};

export type AlertLive = { alertChanged: AlertView; };
export const alertLiveDocument: Document<AlertLive, object> = {
  text: `subscription AlertLive{alertChanged{...AlertView}}fragment AlertView on Alert{name metric by windowS warning alert receivers problem states{labels{name value}state severity value since reason silencedUntil}}`,
};

export type AlertSilence = { silenceAlert: { id: string; covers: number; ends: number; }; };
export const alertSilenceDocument: Document<AlertSilence, { rule: string; hours: number; reason: string; }> = {
  text: `mutation AlertSilence($rule:String!$hours:Float!$reason:String!){silenceAlert(rule:$rule hours:$hours reason:$reason){id covers ends}}`,
};

export type AlertExpire = { expireSilence: { id: string; }; };
export const alertExpireDocument: Document<AlertExpire, { id: string; }> = {
  text: `mutation AlertExpire($id:String!){expireSilence(id:$id){id}}`,
};

export type AlertReceivers = { receivers: Array<{ name: string; kind: string; waiting: number; delivered: number; failed: number; lastDelivery: number | null; lastError: string | null; }>; };
export const alertReceiversDocument: Document<AlertReceivers, object> = {
  text: `query AlertReceivers{receivers{name kind waiting delivered failed lastDelivery lastError}}`,
};

export type AlertTest = { testAlert: { delivered: boolean; error: string; hint: string; }; };
export const alertTestDocument: Document<AlertTest, { receiver: string; }> = {
  text: `mutation AlertTest($receiver:String!){testAlert(receiver:$receiver){delivered error hint}}`,
};
