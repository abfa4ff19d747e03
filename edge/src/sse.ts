// Server-sent events out of bytes, wherever these were cut. Only `data:` counts; knows no API.

const MAX_FRAME = 4 * 1024 * 1024;

export class SseDecoder {
  private rest = '';
  private data: string[] = [];
  private readonly utf8 = new TextDecoder('utf-8', { fatal: true });

  /** The payloads that `bytes` complete. Throws RangeError for an endless frame, TypeError for what is not UTF-8. */
  feed(bytes: Uint8Array): string[] {
    const text = this.rest + this.utf8.decode(bytes, { stream: true });
    const lines = text.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? '';
    if (this.rest.length > MAX_FRAME) throw new RangeError('a frame is too long');
    const found: string[] = [];
    for (const line of lines) {
      if (line === '') {
        if (this.data.length) found.push(this.data.join('\n'));
        this.data = [];
      } else if (line.startsWith('data:')) {
        this.data.push(line.startsWith('data: ') ? line.slice(6) : line.slice(5));
      }
    }
    return found;
  }
}

export function frame(payload: string): string {
  return `data: ${payload}\n\n`;
}

export const DONE = frame('[DONE]');
export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};
