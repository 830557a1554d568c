/**
 * The kernels as the ranks see them. Two implementations: ember.wasm (kernels/, AssemblyScript) and reference/ (plain TypeScript over the
 * same bytes). Every argument named after a buffer is a byte offset into the rank's memory; f32 and i32 buffers are 16-byte aligned, weights
 * are aligned to 16 bytes, and 64 bytes of readable padding follow every buffer. Matrices are row-major.
 */
/**
 * Format of the scales. e8m0 and e4m3 (one byte a group) make the codes small floats: bits 4 = E2M1, bits 8 = E4M3, no biases. So MLX's modes are
 * mxfp4 = (4 bits, group 32, e8m0), nvfp4 = (4, 16, e4m3), mxfp8 = (8, 32, e8m0). docs/spec/formats.md §3.2.
 */
export const SCALE_TYPE = { f16: 0, bf16: 1, f32: 2, e8m0: 3, e4m3: 4 } as const;
export const PLAIN_TYPE = { f16: 0, bf16: 1, f32: 2 } as const;
/** Form of the activations that enter a matrix (docs/spec/engines.md §2.2). */
export const ACTIVATION = { int8: 0, int16: 1, f32: 2 } as const;
/** Forms of GELU: ½x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), or ½x·(1 + erf(x/√2)). */
export const GELU_FORM = { tanh: 0, erf: 1 } as const;
/** Values of the KV cache; int8: symmetric codes of one token's head, with an f32 scale for its key and one for its value. */
export const KV_TYPE = { bf16: 0, f32: 1, int8: 2 } as const;
/** Tokens in one page of the KV cache. */
export const PAGE_TOKENS = 32;

export type ScaleType = (typeof SCALE_TYPE)[keyof typeof SCALE_TYPE];
export type PlainType = (typeof PLAIN_TYPE)[keyof typeof PLAIN_TYPE];
export type GeluForm = (typeof GELU_FORM)[keyof typeof GELU_FORM];
export type KvTypeCode = (typeof KV_TYPE)[keyof typeof KV_TYPE];
export type Activation = (typeof ACTIVATION)[keyof typeof ACTIVATION];

export interface Kernels {
  /** Bytes of what `prepare` writes for `tokens` rows of `k` values, and of the room behind it that `matmul` uses. */
  preparedBytes(activation: Activation, bits: number, group: number, tokens: number, k: number): number;
  /**
   * Brings x [tokens, k] f32 into the form that `matmul` reads for weights of (bits, group); the layout is the kernels' own.
   * int8 and int16: symmetric codes per block of min(group, 64), one f32 scale each, and the sums of the block's activations for the bias term.
   * Formats of scales make no difference: affine and small floats of the same bits and group may share a prepared buffer.
   */
  prepare(activation: Activation, bits: number, group: number, x: number, tokens: number, k: number, prepared: number): void;
  /**
   * y[t, r] = Σ over groups of scale·dot(codes, x) + bias·sum(x), for rows r0 ≤ r < r1 of MLX affine weights
   * w [rows, k·bits/32] u32, scales and biases [rows, k/group] of `scaleType`. `yStride` = f32 values from one token's row of y to the next.
   * Affine: bits 2, 3, 4, 5, 6 or 8; group 32, 64 or 128. Small floats (see SCALE_TYPE): no bias term, `biases` is not read.
   * k a multiple of the group and of 32; any tokens ≥ 1, any row range.
   */
  matmul(
    activation: Activation,
    bits: number,
    group: number,
    scaleType: ScaleType,
    w: number,
    scales: number,
    biases: number,
    prepared: number,
    y: number,
    yStride: number,
    r0: number,
    r1: number,
    k: number,
    tokens: number,
  ): void;
  /**
   * Scratch of `matmul`, of `preparedBytes` of no tokens; 0 (default): behind the prepared activations. For threads that share a memory: each has
   * kernels of its own, and so may multiply rows of the same product.
   */
  useRoom(room: number): void;
  /** y[t, r] = Σ w[r, i]·x[t, i] for plain weights w [rows, k] of `type`, x [tokens, k] f32; any k ≥ 1. */
  matmulPlain(type: PlainType, w: number, x: number, y: number, yStride: number, r0: number, r1: number, k: number, tokens: number): void;
  /** y[t, r] += factor·Σ w[r, i]·x[t, i], as matmulPlain (low-rank adapters). */
  matmulPlainAdd(type: PlainType, w: number, x: number, y: number, yStride: number, r0: number, r1: number, k: number, tokens: number, factor: number): void;
  /** y[t, r] += factor·Σ b[j, r]·z[t, j] for b [rank, rows] f32, z [tokens, rank] f32: the second half of a low-rank delta, whose lines are long and few. */
  addLowRank(b: number, z: number, y: number, yStride: number, rows: number, rank: number, tokens: number, factor: number): void;
  /** y [k] f32 = row `row` of quantised weights (an embedding row). */
  dequantiseRow(bits: number, group: number, scaleType: ScaleType, w: number, scales: number, biases: number, row: number, k: number, y: number): void;
  /** y [n] f32 = n plain values at src. */
  widen(type: PlainType, src: number, y: number, n: number): void;

  /** y [tokens, dim] = x / sqrt(mean(x²) + eps) · weight [dim] f32. y may be x. */
  rmsNorm(x: number, weight: number, y: number, tokens: number, dim: number, eps: number): void;
  /** y [tokens, dim] = (x − mean) / sqrt(variance + eps) · weight [dim] + bias [dim] (0: none). y may be x. */
  layerNorm(x: number, weight: number, bias: number, y: number, tokens: number, dim: number, eps: number): void;
  /** y[i] += x[i], n values. */
  addInto(y: number, x: number, n: number): void;
  /** y[t, i] += bias[i] for [tokens, n] rows `yStride` values apart. */
  addBias(y: number, bias: number, tokens: number, n: number, yStride: number): void;
  /** out[i] = silu(gate[i])·up[i], n values; out may be gate. */
  siluMultiply(gate: number, up: number, out: number, n: number): void;
  /** out[i] = gelu(gate[i])·up[i], n values; out may be gate. */
  geluMultiply(gate: number, up: number, out: number, n: number, form: GeluForm): void;
  /** out[i] = gelu(x[i]), n values; out may be x. */
  gelu(x: number, out: number, n: number, form: GeluForm): void;
  /** out[i] = g·sigmoid(alpha·g)·(u + 1) with g = min(gate[i], limit) and u = up[i] within ±limit (gpt_oss); out may be gate. */
  swigluClamped(gate: number, up: number, out: number, n: number, alpha: number, limit: number): void;
  /** out[i] = silu(x[i]), n values; out may be x. */
  silu(x: number, out: number, n: number): void;
  /** out[i] = x[i]·sigmoid(gate[i]), n values; out may be either. */
  sigmoidMultiply(gate: number, x: number, out: number, n: number): void;
  /** out[i] = max(x[i], 0)², n values; out may be x. */
  squaredRelu(x: number, out: number, n: number): void;
  /** y[i] *= x[i], n values. */
  multiplyInto(y: number, x: number, n: number): void;
  /** y[i] += a[i]·b[i], n values. */
  addProduct(y: number, a: number, b: number, n: number): void;
  /** y[i] += factor·x[i], n values. */
  addScaled(y: number, x: number, n: number, factor: number): void;
  /** x[i] *= factor, n values. */
  scaleBy(x: number, n: number, factor: number): void;
  /** x[i] = cap·tanh(x[i] / cap), n values; cap > 0. */
  softCap(x: number, n: number, cap: number): void;
  /**
   * Rotates x [tokens, heads, headDim] in place, rows of tokens `stride` values apart, with cos and sin [tokens, rotaryDim/2] f32.
   * Halves are paired (element i with i + rotaryDim/2), or neighbours when `traditional` is 1; values beyond rotaryDim stay.
   */
  rope(x: number, tokens: number, heads: number, headDim: number, rotaryDim: number, stride: number, cos: number, sin: number, traditional: number): void;

  /**
   * One token and head of the gated delta rule; state S [valueDim, keyDim] f32: delta = beta·(value − decay·S·key), S = decay·S + delta ⊗ key,
   * out [valueDim] = S·query.
   */
  gatedDeltaHead(state: number, query: number, key: number, value: number, out: number, keyDim: number, valueDim: number, decay: number, beta: number): void;
  /** One token and head of a state space (Mamba 2); state S [headDim, size] f32: S = kept·S + step·x ⊗ b, out [headDim] = S·c + skip·x. */
  stateSpaceHead(state: number, x: number, b: number, c: number, out: number, headDim: number, size: number, kept: number, step: number, skip: number): void;

  /** Bytes of one page of one layer; shared 1: a cell's key is its value too. */
  pageBytes(kvType: KvTypeCode, kvHeads: number, headDim: number, shared: 0 | 1): number;
  /**
   * Writes k and v [tokens, kvHeads, headDim] f32 (token rows `stride` values apart) at positions position … position + tokens − 1, as they are,
   * as BF16 (round half to even), or as int8: scale = largest size ÷ 127, code = x ÷ scale (round half to even).
   * Page p of this layer starts at layerBase + pages[p]·pageStride; its layout: kernels/kv-pages.ts. pageStride ≥ pageBytes, a multiple of 16.
   * `pages` is the sequence's table of u32 page numbers. headDim: a multiple of 8. v = 0: keys that are values too.
   */
  storeKv(
    kvType: KvTypeCode,
    k: number,
    v: number,
    stride: number,
    layerBase: number,
    pageStride: number,
    pages: number,
    position: number,
    tokens: number,
    kvHeads: number,
    headDim: number,
  ): void;
  /** Bytes of scratch that `attend` needs, for every kvType. */
  attendScratchBytes(tokens: number, qHeads: number, headDim: number, contextTokens: number): number;
  /**
   * out [tokens, qHeads, headDim] = softmax attention of q (token rows `qStride` values apart; out rows `outStride`) over the pages written by storeKv:
   * with mask 0 (causal) token t sees positions max(0, position + t − window + 1) … position + t (window 0 = all), with mask 1 all positions
   * 0 … position + tokens − 1 (window 0). Query head h reads kv head headToKv[h] (u32 table, not decreasing).
   * scores = scale·q·k, then softCap·tanh(score / softCap) when softCap > 0. `sinks` (0: none): f32 per query head, a score that takes its part of
   * the softmax and has no value. shared 1: the pages hold keys that are values too.
   */
  attend(
    kvType: KvTypeCode,
    q: number,
    qStride: number,
    out: number,
    outStride: number,
    layerBase: number,
    pageStride: number,
    pages: number,
    position: number,
    tokens: number,
    qHeads: number,
    headToKv: number,
    kvHeads: number,
    headDim: number,
    scale: number,
    window: number,
    softCap: number,
    sinks: number,
    mask: 0 | 1,
    shared: 0 | 1,
    scratch: number,
  ): void;

  /**
   * logits[id − firstId] for each of `count` entries {u32 id, f32 multiply, f32 add} at `entries` whose id lies in [firstId, firstId + n):
   * l = l > 0 ? l / multiply : l·multiply, then l + add (repetition penalty, then presence, frequency and bias).
   */
  adjustLogits(logits: number, n: number, firstId: number, entries: number, count: number): void;
  /** Logits whose id (firstId + index) has bit 0 in `mask` become −∞: bit id & 31 of u32 word id >> 5; the mask covers the whole vocabulary. */
  maskLogits(logits: number, n: number, firstId: number, mask: number): void;
  /** out[0] = max of n logits, out[1] = Σ exp((l − max)/temperature) with temperature > 0 (f32). */
  maxAndSum(logits: number, n: number, temperature: number, out: number): void;
  /** The `count` ≤ 256 largest logits, largest first, lowest id first on a tie: ids (firstId + index, u32) and values (f32). Returns how many. */
  topN(logits: number, n: number, firstId: number, count: number, ids: number, values: number): number;
}
