// What is drawn of a trace: spans as bars on one time axis; pure.
import type { TraceSpan } from './queries';

export interface Row {
  span: TraceSpan;
  /** Per cent of the axis. */
  left: number;
  width: number;
  tone: 'good' | 'held' | 'bad' | 'other';
  operation: string;
}

const LEAST = 0.6;
const OPERATIONS: Record<string, string> = {
  invoke_workflow: 'flow',
  node: 'node',
  invoke_agent: 'agent',
  execute_tool: 'tool',
  retrieval: 'search',
  request: 'request',
  chat: 'attempt',
};

export function rows(spans: readonly TraceSpan[]): { rows: Row[]; totalMs: number } {
  const start = Math.min(...spans.map((each) => each.at));
  const end = Math.max(...spans.map((each) => each.at + each.totalMs));
  const total = Math.max(end - start, 0.001);
  const found = spans.map((span) => ({
    span,
    left: Math.min((100 * (span.at - start)) / total, 100 - LEAST),
    width: Math.max(LEAST, Math.min((100 * span.totalMs) / total, 100)),
    tone: tone(span),
    operation: OPERATIONS[span.operation] ?? span.operation,
  }));
  return { rows: found, totalMs: spans.length > 0 ? total : 0 };
}

function tone(span: TraceSpan): Row['tone'] {
  if (span.error || span.kind === 'failed') return 'bad';
  if (span.kind === 'distrusted') return 'held';
  return span.operation === 'chat' ? 'good' : 'other';
}
