// What a guard finds in a text, and which of two findings that overlap counts.

export interface Finding {
  guard: string;
  kind: string;
  start: number;
  end: number;
  score: number;
}

/** A pattern of a release's tables. `group`: that of the finding. */
export interface Pattern {
  kind: string;
  source: string;
  flags: string;
  group: number;
}

/** Sorts by position and merges what overlaps; the merged one has the kind of the longer. */
export function mergeOverlaps(findings: Finding[]): Finding[] {
  const sorted = [...findings].sort((a, b) => a.start - b.start || b.end - a.end || b.score - a.score);
  const kept: Finding[] = [];
  for (const each of sorted) {
    const last = kept[kept.length - 1];
    if (!last || each.start >= last.end) kept.push(each);
    else if (each.end > last.end) {
      const longer = each.end - each.start > last.end - last.start ? each : last;
      kept[kept.length - 1] = { ...longer, start: last.start, end: each.end };
    }
  }
  return kept;
}

export interface Match {
  start: number;
  end: number;
  text: string;
}

/** The matches of a group between two positions, as if the text ended at the second. */
export function* matchesOf(regex: RegExp, group: number, text: string, from: number, until: number): Generator<Match> {
  const part = until < text.length ? text.slice(0, until) : text;
  regex.lastIndex = from;
  for (let found = regex.exec(part); found; found = regex.exec(part)) {
    const [start, end] = found.indices?.[group] ?? [-1, -1];
    if (start >= 0) yield { start, end, text: part.slice(start, end) };
    if (found[0] === '') regex.lastIndex += 1;
    if (regex.sticky) return;
  }
}
