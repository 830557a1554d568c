// Low-rank deltas: to every row of y a few lines are added, each times a number of the row's own.

/** Values of a line that are taken at a time, so that eight lines stay in the first cache while the tokens pass. */
const BLOCK: u32 = 512;

function addEight(b: usize, line: usize, z: usize, y: usize, n: u32, factor: f32): void {
  const z0 = f32x4.splat(factor * load<f32>(z)), z1 = f32x4.splat(factor * load<f32>(z, 4)), z2 = f32x4.splat(factor * load<f32>(z, 8));
  const z3 = f32x4.splat(factor * load<f32>(z, 12)), z4 = f32x4.splat(factor * load<f32>(z, 16)), z5 = f32x4.splat(factor * load<f32>(z, 20));
  const z6 = f32x4.splat(factor * load<f32>(z, 24)), z7 = f32x4.splat(factor * load<f32>(z, 28));
  const b1 = b + line, b2 = b1 + line, b3 = b2 + line, b4 = b3 + line, b5 = b4 + line, b6 = b5 + line, b7 = b6 + line;
  const end = <usize>(n & ~3) << 2;
  for (let at: usize = 0; at < end; at += 16) {
    let s = f32x4.relaxed_madd(z0, v128.load(b + at), v128.load(y + at));
    let t = f32x4.mul(z1, v128.load(b1 + at));
    s = f32x4.relaxed_madd(z2, v128.load(b2 + at), s);
    t = f32x4.relaxed_madd(z3, v128.load(b3 + at), t);
    s = f32x4.relaxed_madd(z4, v128.load(b4 + at), s);
    t = f32x4.relaxed_madd(z5, v128.load(b5 + at), t);
    s = f32x4.relaxed_madd(z6, v128.load(b6 + at), s);
    t = f32x4.relaxed_madd(z7, v128.load(b7 + at), t);
    v128.store(y + at, f32x4.add(s, t));
  }
  for (let i = n & ~3; i < n; i++) {
    const at = <usize>i << 2;
    let sum: f32 = 0;
    for (let j: usize = 0; j < 8; j++) sum += load<f32>(z + (j << 2)) * load<f32>(b + j * line + at);
    f32.store(y + at, load<f32>(y + at) + factor * sum);
  }
}

function addOne(b: usize, z: f32, y: usize, n: u32): void {
  const factor = f32x4.splat(z), end = <usize>(n & ~3) << 2;
  for (let at: usize = 0; at < end; at += 16) v128.store(y + at, f32x4.relaxed_madd(factor, v128.load(b + at), v128.load(y + at)));
  for (let i = n & ~3; i < n; i++) {
    const at = <usize>i << 2;
    f32.store(y + at, load<f32>(y + at) + z * load<f32>(b + at));
  }
}

export function addLowRank(b: usize, z: usize, y: usize, yStride: u32, rows: u32, rank: u32, tokens: u32, factor: f32): void {
  const line = <usize>rows << 2;
  for (let from: u32 = 0; from < rows; from += BLOCK) {
    const n = min(BLOCK, rows - from), part = b + (<usize>from << 2);
    let j: usize = 0;
    for (; j + 8 <= rank; j += 8)
      for (let t: usize = 0; t < tokens; t++) addEight(part + j * line, line, z + ((t * rank + j) << 2), y + ((t * yStride + from) << 2), n, factor);
    for (; j < rank; j++)
      for (let t: usize = 0; t < tokens; t++) addOne(part + j * line, factor * load<f32>(z + ((t * rank + j) << 2)), y + ((t * yStride + from) << 2), n);
  }
}
