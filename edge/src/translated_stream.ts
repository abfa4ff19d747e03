// The stream of a chat as events of another API, each frame as it comes; a client that leaves ends the chat.

import { readPiece, type Piece } from './door.js';
import { writeJson } from './exact_json.js';
import { SseDecoder } from './sse.js';

/** Writes the events of one answer. */
export interface EventWriter {
  start(): string;
  write(piece: Piece): string;
  end(): string;
  /** After an error that came in the stream, nothing more is written. */
  fail(error: { message: string; code: string }): string;
}

export function translateStream(answer: Response, writer: EventWriter): Response {
  const decoder = new SseDecoder();
  const encoder = new TextEncoder();
  let ended = false;
  const events = new TransformStream<Uint8Array, Uint8Array>({
    start(control) {
      control.enqueue(encoder.encode(writer.start()));
    },
    transform(bytes, control) {
      let text = '';
      for (const payload of decoder.feed(bytes)) {
        if (ended) break;
        if (payload === '[DONE]') {
          text += writer.end();
          ended = true;
          break;
        }
        const piece = readPiece(payload);
        ended = piece.error !== null;
        text += piece.error ? writer.fail(piece.error) : writer.write(piece);
      }
      if (text) control.enqueue(encoder.encode(text));
    },
  });
  return new Response(answer.body?.pipeThrough(events) ?? null, { headers: answer.headers });
}

export function event(payload: { type: string; [field: string]: unknown }): string {
  return `event: ${payload.type}\ndata: ${writeJson(payload)}\n\n`;
}
