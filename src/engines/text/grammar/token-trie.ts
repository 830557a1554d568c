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

/** `bytesOf` gives no bytes for a token that no grammar may produce. */
export function createTokenTrie(vocabularySize: number, bytesOf: (id: number) => Uint8Array): TokenTrie {
  const bytes = Array.from({ length: vocabularySize }, (_, id) => Buffer.from(bytesOf(id)));
  // One character for each byte sorts as the bytes do, and faster.
  const keys = bytes.map((token) => token.toString('latin1'));
  const ids = [...bytes.keys()].filter((id) => bytes[id]!.length > 0 && bytes[id]!.length <= MAX_TOKEN_BYTES).sort((a, b) => (keys[a]! < keys[b]! ? -1 : 1));
  let size = 0;
  let previous = Buffer.alloc(0);
  for (const id of ids) {
    size += bytes[id]!.length - shared(previous, bytes[id]!);
    previous = bytes[id]!;
  }
  const byte = new Uint8Array(size);
  const depth = new Uint16Array(size);
  const skip = new Uint32Array(size);
  const firstToken = new Uint32Array(size + 1);
  const tokens = new Uint32Array(ids.length);
  const open: number[] = [];
  let node = 0;
  let maxDepth = 0;
  previous = Buffer.alloc(0);
  ids.forEach((id, i) => {
    const token = bytes[id]!;
    const common = shared(previous, token);
    while (open.length > common) skip[open.pop()!] = node;
    for (let at = common; at < token.length; at++) {
      byte[node] = token[at]!;
      depth[node] = at + 1;
      firstToken[node] = i;
      open.push(node);
      node++;
    }
    // A node's tokens come before those of the nodes behind it, and equal tokens are neighbours.
    tokens[i] = id;
    maxDepth = Math.max(maxDepth, token.length);
    previous = token;
  });
  while (open.length > 0) skip[open.pop()!] = size;
  firstToken[size] = ids.length;
  return { size, byte, depth, skip, firstToken, tokens, maxDepth, vocabularySize, bytesOf: (id) => bytes[id] ?? new Uint8Array() };
}

function shared(a: Buffer, b: Buffer): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}
