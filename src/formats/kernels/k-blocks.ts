// Blocks of 256 of GGML to the codes, scales and biases of MLX, groups of 32.

import { pack16 } from './codes';
import { least2, most2, roundToSteps, signedValues16, WANTED } from './counts';
import { packNeighbours } from './from-blocks';
import { fromHalf } from './floats';

/** Q4_K and Q5_K: 32 bytes of nibbles at `low` are those of two sub-blocks, lower ones first; fifth bits at `high`, 0 = none. */
export function subBlockCodes(blocks: usize, stride: i32, low: i32, high: i32, count: i32, out: usize): void {
  const nibble = i8x16.splat(15);
  for (let block = 0; block < count; block++, blocks += stride) {
    for (let j = 0; j < 8; j += 2) {
      const at = blocks + low + <usize>16 * j;
      const a = v128.load(at);
      const b = v128.load(at + 16);
      if (high === 0) {
        v128.store(out, packNeighbours(v128.and(a, nibble), v128.and(b, nibble)));
        v128.store(out + 16, packNeighbours(v128.and(i16x8.shr_u(a, 4), nibble), v128.and(i16x8.shr_u(b, 4), nibble)));
        out += 32;
      } else {
        const c = v128.load(blocks + high);
        const e = v128.load(blocks + high + 16);
        pack16(v128.or(v128.and(a, nibble), fifth(c, j)), 5, out);
        pack16(v128.or(v128.and(b, nibble), fifth(e, j)), 5, out + 10);
        pack16(v128.or(v128.and(i16x8.shr_u(a, 4), nibble), fifth(c, j + 1)), 5, out + 20);
        pack16(v128.or(v128.and(i16x8.shr_u(b, 4), nibble), fifth(e, j + 1)), 5, out + 30);
        out += 40;
      }
    }
  }
}

/** Bit j of each byte, as 16. */
@inline
function fifth(bytes: v128, j: i32): v128 {
  return i16x8.shl(v128.and(i16x8.shr_u(bytes, j), i8x16.splat(1)), 4);
}

/**
 * Q4_K and Q5_K: the fp16 number at `offset` times the 6-bit codes of the eight scales, or with `minima` times -1 and those of the minima, as float32,
 * which holds the 17 bits. Gives false where one is not finite.
 */
export function subBlockNumbers(blocks: usize, stride: i32, offset: i32, minima: bool, count: i32, out: usize): bool {
  for (let block = 0; block < count; block++, blocks += stride) {
    const half = <u32>load<u16>(blocks + offset);
    if ((half & 0x7c00) === 0x7c00) return false;
    const factor = minima ? -fromHalf(half) : fromHalf(half);
    // Four bytes of scales, of minima, and of the lower bits of the last four of both; their upper bits lie above the first ones.
    const own = load<u32>(blocks + (minima ? 8 : 4));
    const shared = load<u32>(blocks + 12) >>> (minima ? 4 : 0);
    const firsts = own & 0x3f3f3f3f;
    const lasts = (shared & 0x0f0f0f0f) | ((own >>> 2) & 0x30303030);
    for (let j = 0; j < 32; j += 8, out += 4) {
      store<f32>(out, factor * <f32>((firsts >>> j) & 63));
      store<f32>(out + 16, factor * <f32>((lasts >>> j) & 63));
    }
    out += 16;
  }
  return true;
}

/** Types whose groups MLX cannot hold: each 16 numbers are a factor times small codes, plus an addend. */
const Q2_K: i32 = 10;
const Q3_K: i32 = 11;

/** Of one block: 256 signed codes, and 16 factors and addends in float64. */
const CODES = memory.data(256);
const FACTORS = memory.data(128);
const ADDENDS = memory.data(128);

/** Fills CODES, FACTORS and ADDENDS. Gives false where a factor is not finite. */
function openBlock(type: i32, at: usize): bool {
  if (type === Q2_K) return openQ2(at);
  return type === Q3_K ? openQ3(at) : openQ6(at);
}

@inline
function isFiniteHalf(half: u32): bool {
  return (half & 0x7c00) !== 0x7c00;
}

function openQ2(at: usize): bool {
  const d = <u32>load<u16>(at + 80);
  const least = <u32>load<u16>(at + 82);
  if (!isFiniteHalf(d) || !isFiniteHalf(least)) return false;
  for (let k = 0; k < 16; k++) {
    const both = <u32>load<u8>(at + k);
    store<f64>(FACTORS + 8 * k, <f64>fromHalf(d) * <f64>(both & 15));
    store<f64>(ADDENDS + 8 * k, -(<f64>fromHalf(least) * <f64>(both >>> 4)));
  }
  for (let element = 0; element < 256; element += 16) v128.store(CODES + element, twoBits(at + 16, element));
  return true;
}

function openQ3(at: usize): bool {
  const d = <u32>load<u16>(at + 108);
  if (!isFiniteHalf(d)) return false;
  for (let k = 0; k < 16; k++) {
    const low = k < 8 ? <i32>load<u8>(at + 96 + k) & 15 : <i32>load<u8>(at + 88 + k) >> 4;
    const high = (<i32>load<u8>(at + 104 + (k & 3)) >> (2 * (k >> 2))) & 3;
    store<f64>(FACTORS + 8 * k, <f64>fromHalf(d) * <f64>((low | (high << 4)) - 32));
    store<f64>(ADDENDS + 8 * k, -0.0);
  }
  for (let element = 0; element < 256; element += 16) {
    const high = v128.and(i16x8.shr_u(v128.load(at + (element & 16)), element >> 5), i8x16.splat(1));
    v128.store(CODES + element, i8x16.sub(v128.or(twoBits(at + 32, element), i16x8.shl(high, 2)), i8x16.splat(4)));
  }
  return true;
}

function openQ6(at: usize): bool {
  const d = <u32>load<u16>(at + 208);
  if (!isFiniteHalf(d)) return false;
  for (let k = 0; k < 16; k++) {
    store<f64>(FACTORS + 8 * k, <f64>fromHalf(d) * <f64>load<i8>(at + 192 + k));
    store<f64>(ADDENDS + 8 * k, -0.0);
  }
  for (let element = 0; element < 256; element += 16) {
    const half = element >> 7;
    const quarter = (element >> 5) & 3;
    // Bits that come from a neighbour are masked.
    const low = i16x8.shr_u(v128.load(at + 64 * half + 32 * (quarter & 1) + (element & 16)), 4 * (quarter >> 1));
    const high = i16x8.shr_u(v128.load(at + 128 + 32 * half + (element & 16)), 2 * quarter);
    const code = v128.or(v128.and(low, i8x16.splat(15)), i16x8.shl(v128.and(high, i8x16.splat(3)), 4));
    v128.store(CODES + element, i8x16.sub(code, i8x16.splat(32)));
  }
  return true;
}

/** 16 codes of 2 bits: byte i of a half of 128 elements holds elements i, i + 32, i + 64 and i + 96 of it, lowest bits first. */
@inline
function twoBits(at: usize, element: i32): v128 {
  return v128.and(i16x8.shr_u(v128.load(at + 32 * (element >> 7) + (element & 16)), 2 * ((element >> 5) & 3)), i8x16.splat(3));
}

/** The scale and bias that spread 8 bits over a group of the block. */
let scale: f32 = 0;
let bias: f32 = 0;
/** The largest number by magnitude. */
let largest: f64 = 0;

function findScale(group: i32): void {
  const first = ends(2 * group);
  const second = ends(2 * group + 1);
  let least = least2(f64x2.pmin(first, second));
  let most = most2(f64x2.pmax(first, second));
  // Which zero comes first decides about its sign.
  if (least === 0 || most === 0) {
    fillWanted(group);
    least = load<f64>(WANTED);
    most = least;
    for (let i = 1; i < 32; i++) {
      const value = load<f64>(WANTED + 8 * i);
      if (value < least) least = value;
      if (value > most) most = value;
    }
  }
  largest = most2(f64x2.abs(f64x2.replace_lane(f64x2.splat(least), 1, most)));
  bias = <f32>least;
  scale = <f32>((most - <f64>bias) / 255);
}

/** The numbers of the least and the largest code of 16. */
@inline
function ends(k: i32): v128 {
  const codes = v128.load(CODES + 16 * k);
  const both = f64x2.replace_lane(f64x2.splat(<f64>leastCode(codes)), 1, <f64>mostCode(codes));
  return f64x2.add(f64x2.mul(v128.load64_splat(FACTORS + 8 * k), both), v128.load64_splat(ADDENDS + 8 * k));
}

@inline
function leastCode(codes: v128): i32 {
  let x = i8x16.min_s(codes, i64x2.shuffle(codes, codes, 1, 0));
  x = i8x16.min_s(x, i32x4.shuffle(x, x, 1, 0, 3, 2));
  x = i8x16.min_s(x, i32x4.shr_u(x, 16));
  return min(<i32>i8x16.extract_lane_s(x, 0), <i32>i8x16.extract_lane_s(x, 1));
}

/** The largest is the complement of the least complement. */
@inline
function mostCode(codes: v128): i32 {
  return ~leastCode(v128.not(codes));
}

/** Fills WANTED with the numbers of a group. */
@inline
function fillWanted(group: i32): void {
  for (let i = 0; i < 2; i++) {
    const k = 2 * group + i;
    signedValues16(v128.load(CODES + 16 * k), load<f64>(FACTORS + 8 * k), load<f64>(ADDENDS + 8 * k), WANTED + 128 * i);
  }
}

/**
 * Blocks of 256 whose groups MLX cannot hold: float32 scales (`biases` false) or biases of 8 bits, group 32: from the smallest to the largest number
 * of a group in 255 equal steps. Gives false where a number is not finite.
 */
export function spreadNumbers(type: i32, blocks: usize, stride: i32, biases: bool, count: i32, out: usize): bool {
  for (let block = 0; block < count; block++, blocks += stride) {
    if (!openBlock(type, blocks)) return false;
    for (let group = 0; group < 8; group++, out += 4) {
      findScale(group);
      store<f32>(out, biases ? bias : scale);
    }
  }
  return true;
}

/** The codes to those scales and biases, a byte each; every difference is counted. Gives false where a number is not finite. */
export function spreadCodes(type: i32, blocks: usize, stride: i32, count: i32, out: usize): bool {
  for (let block = 0; block < count; block++, blocks += stride) {
    if (!openBlock(type, blocks)) return false;
    for (let group = 0; group < 8; group++, out += 32) {
      findScale(group);
      fillWanted(group);
      // Of equal numbers, each is the bias.
      roundToSteps(scale === 0 ? 1 : scale, bias, true, largest, out);
    }
  }
  return true;
}
