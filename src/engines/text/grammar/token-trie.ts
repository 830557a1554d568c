/** The tokens of a vocabulary by their bytes, as a tree laid out in depth-first order. */
export interface TokenTrie {
  /** Nodes below the root. */
  readonly size: number;
  readonly byte: Uint8Array;
  /** 1 for the first byte of a token. */
  readonly depth: Uint16Array;
  /** The next node that is not below this one. */
  readonly skip: Uint32Array;
  /** Tokens that end at node i: `tokens[firstToken[i]] … tokens[firstToken[i + 1] − 1]`. */
  readonly firstToken: Uint32Array;
  readonly tokens: Uint32Array;
  /** Bytes of the longest token. */
  readonly maxDepth: number;
  readonly vocabularySize: number;
  bytesOf(id: number): Uint8Array;
}

const MAX_TOKEN_BYTES = 0xffff;
/** Tokens between two pauses. */
const SLICE = 256;

/** `bytesOf` gives no bytes for a token that no grammar may produce. */
export function createTokenTrie(vocabularySize: number, bytesOf: (id: number) => Uint8Array): TokenTrie {
  const work = buildTokenTrie(vocabularySize, bytesOf);
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}

/** The same in steps of about a millisecond, for whoever has something else to do meanwhile. */
export function* buildTokenTrie(vocabularySize: number, bytesOf: (id: number) => Uint8Array): Generator<undefined, TokenTrie, undefined> {
  const { bytes, starts } = yield* gather(vocabularySize, bytesOf);
  const order = yield* sorted(bytes, starts);
  const length = (id: number): number => starts[id + 1]! - starts[id]!;
  /** First bytes that a token shares with the one before it. */
  const common = new Uint16Array(order.length);
  let size = 0;
  let maxDepth = 0;
  for (let i = 0; i < order.length; i++) {
    const id = order[i]!;
    common[i] = i === 0 ? 0 : shared(bytes, starts, order[i - 1]!, id);
    size += length(id) - common[i]!;
    maxDepth = Math.max(maxDepth, length(id));
    if (i % SLICE === 0) yield;
  }
  const byte = new Uint8Array(size);
  const depth = new Uint16Array(size);
  const skip = new Uint32Array(size);
  const firstToken = new Uint32Array(size + 1);
  const open: number[] = [];
  let node = 0;
  // A node's tokens come before those of the nodes behind it, and equal tokens are neighbours.
  for (let i = 0; i < order.length; i++) {
    const id = order[i]!;
    while (open.length > common[i]!) skip[open.pop()!] = node;
    for (let at = common[i]!; at < length(id); at++) {
      byte[node] = bytes[starts[id]! + at]!;
      depth[node] = at + 1;
      firstToken[node] = i;
      open.push(node);
      node++;
    }
    if (i % SLICE === 0) yield;
  }
  while (open.length > 0) skip[open.pop()!] = size;
  firstToken[size] = order.length;
  const none = new Uint8Array();
  const own = (id: number): Uint8Array => (id < vocabularySize ? bytes.subarray(starts[id]!, starts[id + 1]!) : none);
  return { size, byte, depth, skip, firstToken, tokens: order, maxDepth, vocabularySize, bytesOf: own };
}

interface TokenBytes {
  readonly bytes: Uint8Array;
  /** Token i is `bytes[starts[i]] … bytes[starts[i + 1] − 1]`. */
  readonly starts: Uint32Array;
}

/** All tokens one behind the other: an object for each would take many times their bytes. */
function* gather(vocabularySize: number, bytesOf: (id: number) => Uint8Array): Generator<undefined, TokenBytes, undefined> {
  let bytes = new Uint8Array(8 * vocabularySize);
  const starts = new Uint32Array(vocabularySize + 1);
  let end = 0;
  for (let id = 0; id < vocabularySize; id++) {
    const token = bytesOf(id);
    if (end + token.length > bytes.length) {
      const larger = new Uint8Array(2 * (end + token.length));
      larger.set(bytes.subarray(0, end));
      bytes = larger;
    }
    bytes.set(token, end);
    end += token.length;
    starts[id + 1] = end;
    if (id % SLICE === 0) yield;
  }
  return { bytes: bytes.slice(0, end), starts };
}

/** Ids of the tokens that have bytes, in the order of the bytes; equal ones by id. First by the first two bytes, so that each sort is short. */
function* sorted(bytes: Uint8Array, starts: Uint32Array): Generator<undefined, Uint32Array, undefined> {
  const length = (id: number): number => starts[id + 1]! - starts[id]!;
  const usable = (id: number): boolean => length(id) > 0 && length(id) <= MAX_TOKEN_BYTES;
  const bucketOf = (id: number): number => bytes[starts[id]!]! * 257 + (length(id) > 1 ? bytes[starts[id]! + 1]! + 1 : 0);
  const ends = new Uint32Array(256 * 257);
  const vocabularySize = starts.length - 1;
  for (let id = 0; id < vocabularySize; id++) if (usable(id)) ends[bucketOf(id)]!++;
  yield;
  let total = 0;
  for (let bucket = 0; bucket < ends.length; bucket++) {
    const count = ends[bucket]!;
    ends[bucket] = total;
    total += count;
  }
  const order = new Uint32Array(total);
  for (let id = 0; id < vocabularySize; id++) if (usable(id)) order[ends[bucketOf(id)]!++] = id;
  yield;
  const compare = (a: number, b: number): number => {
    const most = Math.min(length(a), length(b));
    for (let i = 2; i < most; i++) {
      const difference = bytes[starts[a]! + i]! - bytes[starts[b]! + i]!;
      if (difference !== 0) return difference;
    }
    return length(a) - length(b) || a - b;
  };
  let from = 0;
  let unsaid = 0;
  for (const end of ends) {
    if (end - from > 1) order.subarray(from, end).sort(compare);
    unsaid += end - from;
    from = end;
    if (unsaid < SLICE) continue;
    unsaid = 0;
    yield;
  }
  return order;
}

function shared(bytes: Uint8Array, starts: Uint32Array, a: number, b: number): number {
  const most = Math.min(starts[a + 1]! - starts[a]!, starts[b + 1]! - starts[b]!);
  let length = 0;
  while (length < most && bytes[starts[a]! + length] === bytes[starts[b]! + length]) length++;
  return length;
}
