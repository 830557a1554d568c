const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const encoder = new TextEncoder();

/**
 * The body of a request with another value for its top-level `model`, and every other byte as it was. `bytes` is one JSON object, checked before.
 */
export function spliceModel(bytes: Uint8Array, model: string): Uint8Array {
  const value = encoder.encode(JSON.stringify(model));
  const parts: Uint8Array[] = [];
  let copied = 0;
  let depth = 0;
  let expectsKey = false;
  for (let at = 0; at < bytes.byteLength; at += 1) {
    const byte = bytes[at]!;
    if (byte === QUOTE) {
      const end = stringEnd(bytes, at);
      if (depth === 1 && expectsKey && JSON.parse(text(bytes, at, end)) === 'model') {
        const from = skipColon(bytes, end);
        const to = bytes[from] === QUOTE ? stringEnd(bytes, from) : from;
        if (to > from) {
          parts.push(bytes.subarray(copied, from), value);
          copied = to;
        }
        at = to - 1;
      } else at = end - 1;
      expectsKey = false;
    } else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      expectsKey = depth === 1;
    } else if (byte === 0x7d || byte === 0x5d) depth -= 1;
    else if (byte === 0x2c) expectsKey = depth === 1;
  }
  return Buffer.concat([...parts, bytes.subarray(copied)]);
}

/** Index behind the closing quote of the string that begins at `start`. */
function stringEnd(bytes: Uint8Array, start: number): number {
  for (let at = start + 1; at < bytes.byteLength; at += 1) {
    if (bytes[at] === BACKSLASH) at += 1;
    else if (bytes[at] === QUOTE) return at + 1;
  }
  return bytes.byteLength;
}

/** Index of the value behind a key. */
function skipColon(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.byteLength && (bytes[at] === 0x3a || bytes[at] === 0x20 || bytes[at] === 0x09 || bytes[at] === 0x0a || bytes[at] === 0x0d)) at += 1;
  return at;
}

const text = (bytes: Uint8Array, from: number, to: number): string => new TextDecoder().decode(bytes.subarray(from, to));
