/** Largest message on a channel between two of our processes, in bytes (docs/spec/engines.md §1.4). */
export const MAX_MESSAGE_BYTES = 1024 * 1024;

/** One JSON value as a line; throws RangeError when it is longer than a message may be. */
export function encodeJsonLine(message: unknown): string {
  const line = `${JSON.stringify(message)}\n`;
  if (Buffer.byteLength(line) > MAX_MESSAGE_BYTES) throw new RangeError(`message of ${Buffer.byteLength(line)} bytes; at most ${MAX_MESSAGE_BYTES}`);
  return line;
}

export interface JsonLineReader {
  /** Takes the next bytes; calls back once per complete line. Throws on a line that is too long or no JSON; then nothing more may be pushed. */
  push(bytes: Uint8Array): void;
}

/** Reads newline-delimited JSON from a byte stream, never holding more than one message. */
export function createJsonLineReader(onMessage: (message: unknown) => void): JsonLineReader {
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  return {
    push(bytes) {
      let start = 0;
      for (;;) {
        const end = bytes.indexOf(0x0a, start);
        const piece = bytes.subarray(start, end < 0 ? bytes.length : end);
        heldBytes += piece.length;
        if (heldBytes > MAX_MESSAGE_BYTES) throw new RangeError(`a message longer than ${MAX_MESSAGE_BYTES} bytes`);
        if (piece.length > 0) held.push(piece);
        if (end < 0) return;
        const text = Buffer.concat(held).toString('utf8');
        held = [];
        heldBytes = 0;
        start = end + 1;
        onMessage(JSON.parse(text));
      }
    },
  };
}
