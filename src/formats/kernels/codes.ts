// Codes as MLX packs them, a row one stream of bits, to a byte each and back.

/** For each byte of eight 16-bit lanes, which of the eight bytes that hold eight codes it takes; and what moves a lane's code to its upper end. */
const WINDOWS = memory.data(16);
const FACTORS = memory.data(16);

/** Sets WINDOWS and FACTORS. */
export function prepareUnpacking(bits: i32): void {
  for (let i = 0; i < 8; i++) {
    const first = bits * i;
    store<u8>(WINDOWS + 2 * i, <u8>(first >> 3));
    store<u8>(WINDOWS + 2 * i + 1, <u8>((first >> 3) + 1));
    const factor = 1 << (16 - bits - (first & 7));
    store<u16>(FACTORS + 2 * i, <u16>factor);
  }
}

@inline
function unpack8(at: usize, bits: i32): v128 {
  const lanes = i8x16.swizzle(v128.load64_zero(at), v128.load(WINDOWS));
  return i16x8.shr_u(i16x8.mul(lanes, v128.load(FACTORS)), 16 - bits);
}

/** 16 codes of 2 to 8 bits, as bytes. Reads up to 16 bytes, whatever the width. */
@inline
export function unpack16(at: usize, bits: i32): v128 {
  return i8x16.narrow_i16x8_u(unpack8(at, bits), unpack8(at + <usize>bits, bits));
}

/** 16 codes, a byte each, to 2 * bits bytes; up to eight bytes after them are overwritten. */
@inline
export function pack16(codes: v128, bits: i32, out: usize): void {
  const twos = v128.or(v128.and(codes, i16x8.splat(0xff)), i16x8.shl(i16x8.shr_u(codes, 8), bits));
  const fours = v128.or(v128.and(twos, i32x4.splat(0xffff)), i32x4.shl(i32x4.shr_u(twos, 16), 2 * bits));
  const eights = v128.or(v128.and(fours, i64x2.splat(0xffffffff)), i64x2.shl(i64x2.shr_u(fours, 32), 4 * bits));
  v128.store64_lane(out, eights, 0);
  v128.store64_lane(out + <usize>bits, eights, 1);
}
