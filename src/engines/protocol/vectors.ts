/** Inputs of one message: both it and its reply stay well under the limit of 1 MiB. */
const LARGEST = { inputs: 32, characters: 256 * 1024 } as const;

type Input = string | readonly number[];

/** Inputs cut into messages, in order. An input too long for one goes alone: the worker, or the limit, refuses it. */
export function splitInputs(inputs: readonly Input[]): (string | number[])[][] {
  const parts: (string | number[])[][] = [];
  let characters = Number.POSITIVE_INFINITY;
  for (const input of inputs) {
    const size = typeof input === 'string' ? input.length : input.length * 7;
    const last = parts.at(-1);
    if (last === undefined || last.length === LARGEST.inputs || characters + size > LARGEST.characters) {
      parts.push([]);
      characters = 0;
    }
    characters += size;
    parts.at(-1)!.push(typeof input === 'string' ? input : [...input]);
  }
  return parts;
}

/** float32 values, little-endian, from base64. */
export function floatsOf(base64: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(base64, 'base64'));
  return new Float32Array(bytes.buffer, 0, Math.floor(bytes.byteLength / 4));
}
