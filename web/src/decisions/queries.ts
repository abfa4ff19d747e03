// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type DecisionRow = { id: string; model: string; state: string; cause: string; options: Array<string>; question: string; answers: number; nextCertificationAt: number | null; sampled: number; changed: number; certificate: { quality: number; error: number; taught: number; certifiedOn: number; isCertified: boolean; share: number; agreement: number; calibrationError: number; rungs: Array<{ rung: string; inputs: number; }>; } | null; };

export type DecisionList = { decisions: Array<DecisionRow>; };
export const decisionListDocument: Document<DecisionList, object> = {
  text: `query DecisionList{decisions{...DecisionRow}}fragment DecisionRow on Decision{id model state cause options question answers nextCertificationAt sampled changed certificate{quality error taught certifiedOn isCertified share agreement calibrationError rungs{rung inputs}}}`,
};

export type DecisionDetail = { decision: DecisionRow | null; };
export const decisionDetailDocument: Document<DecisionDetail, { id: string; }> = {
  text: `query DecisionDetail($id:ID!){decision(id:$id){...DecisionRow}}fragment DecisionRow on Decision{id model state cause options question answers nextCertificationAt sampled changed certificate{quality error taught certifiedOn isCertified share agreement calibrationError rungs{rung inputs}}}`,
};

export type DecisionMeasure = { measureDecision: { asked: number; left: number; }; };
export const decisionMeasureDocument: Document<DecisionMeasure, { id: string; }> = {
  text: `mutation DecisionMeasure($id:ID!){measureDecision(id:$id){asked left}}`,
};

export type DecisionCertify = { certifyDecision: DecisionRow; };
export const decisionCertifyDocument: Document<DecisionCertify, { id: string; }> = {
  text: `mutation DecisionCertify($id:ID!){certifyDecision(id:$id){...DecisionRow}}fragment DecisionRow on Decision{id model state cause options question answers nextCertificationAt sampled changed certificate{quality error taught certifiedOn isCertified share agreement calibrationError rungs{rung inputs}}}`,
};

export type DecisionForget = { forgetDecision: number; };
export const decisionForgetDocument: Document<DecisionForget, { id: string; }> = {
  text: `mutation DecisionForget($id:ID!){forgetDecision(id:$id)}`,
};
