// Where everything stands on the cost-quality plane; both are relative to the large model; pure.

export type Pair = readonly [cost: number, quality: number];

export interface Point {
  name: string;
  kind: 'small' | 'large' | 'level' | 'chosen' | 'live' | 'other';
  cost: number;
  /** Null: not measured; such a point is hollow and stands on the axis of costs. */
  quality: number | null;
  low?: number;
  high?: number;
  /** Half the width of the interval. */
  costMargin?: number;
}

/** What a policy did: of `quality` and `savings`. */
export interface Measured {
  loss: number | null;
  lossLow: number | null;
  lossHigh: number | null;
}

export interface Saved {
  requests: number;
  small: number;
  /** Requests of unknown cost: they count as free. */
  unpriced: number;
  spentUsd: string;
  baselineUsd: string | null;
  marginUsd: string | null;
}

/** The cost of a policy's live requests, with half its interval; null: unknown. Not priced: the share answered large. */
export function liveCost(saved: Saved | undefined, isPriced: boolean): { cost: number; margin: number } | null {
  if (!saved || saved.requests === 0) return null;
  if (!isPriced) return { cost: 1 - saved.small / saved.requests, margin: 0 };
  const alone = saved.unpriced === saved.requests ? 0 : Number(saved.baselineUsd ?? 0);
  return alone > 0 ? { cost: Number(saved.spentUsd) / alone, margin: Number(saved.marginUsd ?? 0) / alone } : null;
}

export function livePoint(
  name: string,
  kind: Point['kind'],
  measured: Measured | undefined,
  saved: Saved | undefined,
  isPriced: boolean,
): Point | null {
  const paid = liveCost(saved, isPriced);
  if (!paid) return null;
  const { loss = null, lossLow = null, lossHigh = null } = measured ?? {};
  const at = { name, kind, cost: paid.cost, costMargin: paid.margin };
  if (loss === null || lossLow === null || lossHigh === null) return { ...at, quality: null };
  return { ...at, quality: 1 - loss, low: 1 - lossHigh, high: 1 - lossLow };
}

export interface Scale {
  from: number;
  to: number;
  ticks: number[];
}

/** Round numbers around `values`, at least `least` apart, in about `most` steps; what is missing is added below. */
export function scale(values: readonly number[], least: number, most = 6): Scale {
  const low = Math.max(0, Math.min(...values, Math.max(...values) - least));
  const high = Math.max(...values, low + least);
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10].find((each) => (high - low) / each <= most) ?? 20;
  const from = Math.floor(low / step + 1e-9);
  const to = Math.ceil(high / step - 1e-9);
  const ticks = Array.from({ length: to - from + 1 }, (_, number) => Number(((from + number) * step).toFixed(4)));
  return { from: ticks[0] ?? 0, to: ticks.at(-1) ?? 1, ticks };
}

export interface Label {
  x: number;
  y: number;
  width: number;
  text: string;
}

const LINE = 16;

/** Moves labels that overlap apart, up and down within `bottom`; the first ones stay. */
export function apart(labels: readonly Label[], bottom: number): Label[] {
  const placed: Label[] = [];
  for (const label of labels) {
    const free = (y: number): boolean =>
      placed.every(
        (each) => Math.abs(each.y - y) >= LINE || label.x + label.width < each.x || each.x + each.width < label.x,
      );
    const steps = [0, 1, -1, 2, -2, 3, -3, 4, -4].map((each) => label.y + each * LINE);
    const y = steps.find((each) => each > LINE && each < bottom && free(each)) ?? label.y;
    placed.push({ ...label, y });
  }
  return placed;
}

export function percent(value: number, digits = 0): string {
  return `${(100 * value).toFixed(digits)} %`;
}
