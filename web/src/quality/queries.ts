// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type QualityPolicies = { quality: Array<{ policy: string; certified: number | null; samples: number; unjudged: number; loss: number | null; lossLow: number | null; lossHigh: number | null; since: number | null; violated: number | null; feedback: Array<{ model: string; kind: string; count: number; mean: number; }>; }>; savings: Array<{ policy: string; large: string; requests: number; small: number; unpriced: number; spentUsd: string; baselineUsd: string | null; savedUsd: string | null; marginUsd: string | null; evaluationUsd: string; energy: { requests: number; unknown: number; tookWh: number | null; largeAloneWh: number | null; how: string; }; }>; };
export const qualityPoliciesDocument: Document<QualityPolicies, object> = {
  text: `query QualityPolicies{quality{policy certified samples unjudged loss lossLow lossHigh since violated feedback{model kind count mean}}savings(days:30){policy large requests small unpriced spentUsd baselineUsd savedUsd marginUsd evaluationUsd energy{requests unknown tookWh largeAloneWh how}}}`,
};

export type QualityCalibration = { calibration: { kind: string; target: number; confidence: number; small: Array<string>; large: string; basis: string; isPriced: boolean; curves: Array<{ name: string; points: Array<Array<number>>; }>; allSmall: Array<number> | null; pairs: number; undecided: number; judge: string; isCertifiable: boolean; samplesNeeded: number | null; certificate: { date: string; confidence: number; evidence: string; levels: Array<{ quality: number; policy: string; measured: number; smallShare: number; cost: number; costMargin: number | null; isChosen: boolean; }>; } | null; }; };
export const qualityCalibrationDocument: Document<QualityCalibration, { policy: string; quality?: number | null; }> = {
  text: `query QualityCalibration($policy:String!$quality:Float){calibration(policy:$policy quality:$quality){kind target confidence small large basis isPriced curves{name points}allSmall pairs undecided judge isCertifiable samplesNeeded certificate{date confidence evidence levels{quality policy measured smallShare cost costMargin isChosen}}}}`,
};

export type QualityRestore = { restorePolicy: { policy: string; }; };
export const qualityRestoreDocument: Document<QualityRestore, { policy: string; }> = {
  text: `mutation QualityRestore($policy:String!){restorePolicy(policy:$policy){policy}}`,
};
