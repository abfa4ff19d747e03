// What the advisor answers, and the curve of its costs in the plane of a picture; pure.

export interface Advised {
  rank: number | null;
  kind: string;
  title: string;
  points: number;
  models: { name: string }[];
  quality: number;
  seconds: number;
  setup_hours: number;
  cost: { one_off_usd: string; month_usd: string; total_usd: string };
  risks: { name: string; level: string; why: string }[];
  next_steps: string[];
  criteria: Record<string, { score: number; weight: number; why: string }>;
}
export interface Costs {
  requests_per_month: number;
  months: number;
  usd: Record<string, string>;
}
export interface Advice {
  recommendations: Advised[];
  misses_the_need: Advised[];
  from_scratch: string;
  break_even: { than: string; cheaper_between: [string, string | null][] }[];
  total_cost: Costs[];
  curve: Costs[];
  hardware: {
    model: string;
    quantization: string;
    where: string;
    fits: boolean;
    slots: number;
    context: number;
    weights_bytes: number;
    room_bytes: number;
  }[];
  excluded: { kind: string; why: string; count: number; example: string }[];
}

export const HEIGHT = 260;
const LEFT = 64;
const TOP = 10;
const FOOT = 34;

export interface Axis {
  x: (requests: number) => number;
  y: (usd: number) => number;
  /** Powers of ten on each axis. */
  requests: number[];
  dollars: number[];
}

const LEAST = 0.01;

/** Both axes are logarithmic: costs of small and large volumes are of other sizes. */
export function axis(curve: readonly Costs[], width: number): Axis {
  const volumes = curve.map((each) => each.requests_per_month);
  const costs = curve.flatMap((each) => Object.values(each.usd).map((usd) => Math.max(LEAST, Number(usd))));
  const [from, to] = [Math.log10(Math.min(...volumes)), Math.log10(Math.max(...volumes))];
  const [low, high] = [Math.floor(Math.log10(Math.min(...costs))), Math.ceil(Math.log10(Math.max(...costs)))];
  const x = (requests: number): number =>
    LEFT + ((width - LEFT - 8) * (Math.log10(requests) - from)) / Math.max(1e-9, to - from);
  const y = (usd: number): number =>
    HEIGHT - FOOT - ((HEIGHT - FOOT - TOP) * (Math.log10(Math.max(LEAST, usd)) - low)) / Math.max(1, high - low);
  const powers = (least: number, most: number): number[] => {
    const step = Math.max(1, Math.ceil((most - least) / 5));
    const found: number[] = [];
    for (let power = Math.ceil(least); power <= most + 1e-9; power += step) found.push(10 ** power);
    return found;
  };
  return { x, y, requests: powers(from, to), dollars: powers(low, high) };
}

export function path(curve: readonly Costs[], kind: string, { x, y }: Axis): string {
  return curve
    .filter((each) => kind in each.usd)
    .map(
      (each, index) =>
        `${index ? 'L' : 'M'}${x(each.requests_per_month).toFixed(1)} ${y(Number(each.usd[kind])).toFixed(1)}`,
    )
    .join('');
}

/** `1250/3` -> 417, rounded; null: without end. */
export function volume(exact: string | null): number | null {
  if (exact === null) return null;
  const [above = '0', below = '1'] = exact.split('/');
  return Math.round(Number(above) / Number(below));
}
