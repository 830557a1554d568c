// Quantised weights × integer activations: y = Σ over blocks of scale·activation scale·dot + bias·activation sum.
// Types stand for constants: S = format of the scales, K = inner loop (size = W4X8 … W4D16), G = group (size·8), T = tile (size).
import { load1, load4, storeTokens, sums4 } from './numbers';
import { W4X16, W8X16 } from './layout';
import { dotBlock, even, finish1, finish4, maskOf, meet, odd, onesOf, quarter, values32, weights32 } from './integer-dots';

/** Scales of four blocks from p; a group of 128 has two blocks. */
// @ts-ignore: decorator
@inline
function scales4<S, G>(p: usize): v128 {
  const s = load4<S>(p);
  return sizeof<G>() == 16 ? v128.shuffle<f32>(s, s, 0, 0, 1, 1) : s;
}

/** Four blocks of one row. */
// @ts-ignore: decorator
@inline
function rowQuad<S, K, G>(w: usize, x: usize, s: usize, b: usize, xs: v128, xb: v128, acc: v128, mask: v128, ones: v128): v128 {
  const halves: usize = sizeof<G>() == 4 ? 1 : 2;
  const wb = weights32<K>() * halves, vb = values32<K>() * halves;
  const dots = finish4<K, G>(
    dotBlock<K, G>(w, x, mask), dotBlock<K, G>(w + wb, x + vb, mask),
    dotBlock<K, G>(w + 2 * wb, x + 2 * vb, mask), dotBlock<K, G>(w + 3 * wb, x + 3 * vb, mask), ones,
  );
  return f32x4.relaxed_madd(dots, f32x4.mul(scales4<S, G>(s), xs), f32x4.relaxed_madd(scales4<S, G>(b), xb, acc));
}

/** One block behind the last whole four. */
// @ts-ignore: decorator
@inline
function rowBlock<S, K, G>(w: usize, x: usize, s: usize, b: usize, xs: f32, xb: f32, acc: v128, mask: v128, ones: v128): v128 {
  const bias = f32x4.replace_lane(f32x4.splat(0), 0, load1<S>(b) * xb);
  return f32x4.relaxed_madd(finish1<K>(dotBlock<K, G>(w, x, mask), ones), f32x4.splat(load1<S>(s) * xs), f32x4.add(acc, bias));
}

/** One token, rows r0 ≤ r < r1, four at a time; the last four repeat a row where there are fewer. */
export function oneToken<S, K, G>(w: usize, sc: usize, bi: usize, x8: usize, y: usize, r0: usize, r1: usize, k: u32): void {
  const halves: usize = sizeof<G>() == 4 ? 1 : 2;
  const wb = weights32<K>() * halves, vb = values32<K>() * halves;
  const blocks: usize = k / (32 * <u32>halves), quads = blocks >> 2, rest = blocks & 3;
  const wrow: usize = sizeof<K>() == W8X16 ? k : k >> 1, srow: usize = k / (<u32>sizeof<G>() * 8) * <u32>sizeof<S>();
  const scaleStep: usize = (sizeof<G>() == 16 ? 2 : 4) * sizeof<S>();
  const scales = x8 + blocks * vb, toSums: usize = blocks << 2, toBias = bi - sc, mask = maskOf<K>(), ones = onesOf();
  for (let r = r0; r < r1; r += 4) {
    const second: usize = r + 1 < r1 ? 1 : 0, third: usize = r + 2 < r1 ? 2 : 0, fourth: usize = r + 3 < r1 ? 3 : 0;
    let w0 = w + r * wrow, w1 = w0 + second * wrow, w2 = w0 + third * wrow, w3 = w0 + fourth * wrow;
    let s0 = sc + r * srow, s1 = s0 + second * srow, s2 = s0 + third * srow, s3 = s0 + fourth * srow;
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
    let x = x8, at = scales;
    for (let q: usize = 0; q < quads; q++) {
      const xs = v128.load(at), xb = v128.load(at + toSums);
      a0 = rowQuad<S, K, G>(w0, x, s0, s0 + toBias, xs, xb, a0, mask, ones);
      a1 = rowQuad<S, K, G>(w1, x, s1, s1 + toBias, xs, xb, a1, mask, ones);
      a2 = rowQuad<S, K, G>(w2, x, s2, s2 + toBias, xs, xb, a2, mask, ones);
      a3 = rowQuad<S, K, G>(w3, x, s3, s3 + toBias, xs, xb, a3, mask, ones);
      w0 += 4 * wb; w1 += 4 * wb; w2 += 4 * wb; w3 += 4 * wb;
      s0 += scaleStep; s1 += scaleStep; s2 += scaleStep; s3 += scaleStep;
      x += 4 * vb;
      at += 16;
    }
    for (let i: usize = 0; i < rest; i++) {
      const xs = load<f32>(at), xb = load<f32>(at + toSums);
      const o: usize = (sizeof<G>() == 16 ? i >> 1 : i) * sizeof<S>();
      a0 = rowBlock<S, K, G>(w0, x, s0 + o, s0 + toBias + o, xs, xb, a0, mask, ones);
      a1 = rowBlock<S, K, G>(w1, x, s1 + o, s1 + toBias + o, xs, xb, a1, mask, ones);
      a2 = rowBlock<S, K, G>(w2, x, s2 + o, s2 + toBias + o, xs, xb, a2, mask, ones);
      a3 = rowBlock<S, K, G>(w3, x, s3 + o, s3 + toBias + o, xs, xb, a3, mask, ones);
      w0 += wb; w1 += wb; w2 += wb; w3 += wb;
      x += vb;
      at += 4;
    }
    const total = sums4(a0, a1, a2, a3), out = y + (r << 2);
    f32.store(out, f32x4.extract_lane(total, 0));
    if (second) f32.store(out, f32x4.extract_lane(total, 1), 4);
    if (third) f32.store(out, f32x4.extract_lane(total, 2), 8);
    if (fourth) f32.store(out, f32x4.extract_lane(total, 3), 12);
  }
}

/** A scale, its format known at run time: once per block of a tile that costs nothing, and saves two of three functions. */
// @ts-ignore: decorator
@inline
function scaleAt(scaleType: i32, p: usize): f32 { return scaleType == 1 ? load1<u16>(p) : scaleType == 0 ? load1<i16>(p) : load<f32>(p); }

/**
 * A tile of T tokens, `full` of them real: weights are unpacked once for all; lanes of the sums are tokens. Group 128: two blocks to a scale.
 * yStride in bytes.
 */
export function tileTokens<K, G, T>(scaleType: i32, group: u32, w: usize, sc: usize, bi: usize, x8: usize, y: usize, yStride: usize, full: i32, r0: usize, r1: usize, k: u32): void {
  const halves: usize = sizeof<G>() == 4 ? 1 : 2, tile: usize = sizeof<T>();
  const blocks: usize = k / (32 * <u32>halves), vb = values32<K>(), wb = weights32<K>();
  const wrow: usize = sizeof<K>() == W8X16 ? k : k >> 1, scaleBytes: usize = scaleType == 2 ? 4 : 2, srow: usize = <usize>(k / group) * scaleBytes, lone: usize = group == 128 ? 0 : 1;
  const scales = x8 + tile * blocks * halves * vb, toSums: usize = (tile * blocks) << 2, toBias = bi - sc, mask = maskOf<K>(), ones = onesOf();
  for (let r = r0; r < r1; r++) {
    let wp = w + r * wrow, s = sc + r * srow, x = x8, at = scales;
    let low = f32x4.splat(0), high = f32x4.splat(0);
    for (let block: usize = 0; block < blocks; block++) {
      let p0: v128, p1: v128, p2: v128, p3: v128, p4: v128, p5: v128, p6: v128, p7: v128;
      let n0: v128, n1: v128, n2: v128, n3: v128;
      if (sizeof<K>() != W4X16 && sizeof<K>() != W8X16) {
        const u = v128.load(wp), v = sizeof<G>() == 4 ? u : v128.load(wp + 16);
        n0 = even(u, mask); n1 = odd(u, mask); n2 = even(v, mask); n3 = odd(v, mask);
      } else if (sizeof<K>() == W4X16) {
        const u = v128.load(wp);
        n0 = quarter(u, 0, mask); n1 = quarter(u, 1, mask); n2 = quarter(u, 2, mask); n3 = quarter(u, 3, mask);
      } else {
        n0 = v128.load_ext<u8>(wp); n1 = v128.load_ext<u8>(wp + 8); n2 = v128.load_ext<u8>(wp + 16); n3 = v128.load_ext<u8>(wp + 24);
      }
      p0 = meet<K, G, T>(n0, n1, n2, n3, x);
      p1 = meet<K, G, T>(n0, n1, n2, n3, x + vb);
      p2 = meet<K, G, T>(n0, n1, n2, n3, x + 2 * vb);
      p3 = meet<K, G, T>(n0, n1, n2, n3, x + 3 * vb);
      p4 = sizeof<T>() == 8 ? meet<K, G, T>(n0, n1, n2, n3, x + 4 * vb) : p0;
      p5 = sizeof<T>() == 8 ? meet<K, G, T>(n0, n1, n2, n3, x + 5 * vb) : p1;
      p6 = sizeof<T>() == 8 ? meet<K, G, T>(n0, n1, n2, n3, x + 6 * vb) : p2;
      p7 = sizeof<T>() == 8 ? meet<K, G, T>(n0, n1, n2, n3, x + 7 * vb) : p3;
      if ((sizeof<K>() == W4X16 || sizeof<K>() == W8X16) && sizeof<G>() != 4) {
        const z = x + tile * vb;
        if (sizeof<K>() == W4X16) {
          const u = v128.load(wp + 16);
          n0 = quarter(u, 0, mask); n1 = quarter(u, 1, mask); n2 = quarter(u, 2, mask); n3 = quarter(u, 3, mask);
        } else {
          n0 = v128.load_ext<u8>(wp + 32); n1 = v128.load_ext<u8>(wp + 40); n2 = v128.load_ext<u8>(wp + 48); n3 = v128.load_ext<u8>(wp + 56);
        }
        p0 = i32x4.add(p0, meet<K, u32, T>(n0, n1, n2, n3, z));
        p1 = i32x4.add(p1, meet<K, u32, T>(n0, n1, n2, n3, z + vb));
        p2 = i32x4.add(p2, meet<K, u32, T>(n0, n1, n2, n3, z + 2 * vb));
        p3 = i32x4.add(p3, meet<K, u32, T>(n0, n1, n2, n3, z + 3 * vb));
        if (sizeof<T>() == 8) {
          p4 = i32x4.add(p4, meet<K, u32, T>(n0, n1, n2, n3, z + 4 * vb));
          p5 = i32x4.add(p5, meet<K, u32, T>(n0, n1, n2, n3, z + 5 * vb));
          p6 = i32x4.add(p6, meet<K, u32, T>(n0, n1, n2, n3, z + 6 * vb));
          p7 = i32x4.add(p7, meet<K, u32, T>(n0, n1, n2, n3, z + 7 * vb));
        }
      }
      const scale = f32x4.splat(scaleAt(scaleType, s)), bias = f32x4.splat(scaleAt(scaleType, s + toBias));
      low = f32x4.relaxed_madd(bias, v128.load(at + toSums), low);
      low = f32x4.relaxed_madd(finish4<K, G>(p0, p1, p2, p3, ones), f32x4.mul(scale, v128.load(at)), low);
      if (sizeof<T>() == 8) {
        high = f32x4.relaxed_madd(bias, v128.load(at + toSums + 16), high);
        high = f32x4.relaxed_madd(finish4<K, G>(p4, p5, p6, p7, ones), f32x4.mul(scale, v128.load(at + 16)), high);
      }
      wp += wb * halves;
      x += tile * vb * halves;
      at += tile << 2;
      s += scaleBytes & (0 - (lone | (block & 1)));
    }
    storeTokens(y + (r << 2), yStride, low, full);
    if (sizeof<T>() == 8) storeTokens(y + (r << 2) + 4 * yStride, yStride, high, full - 4);
  }
}
