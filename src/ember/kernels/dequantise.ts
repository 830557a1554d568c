// Rows of quantised weights as f32: embedding rows, and what the f32 path multiplies.
import { e4m3, load1 } from './numbers';
import { S_BF16, S_E4M3, S_E8M0, S_F16, S_F32 } from './layout';
import { unpackRow } from './unpack';

// @ts-ignore: decorator
@inline
function put4<S>(y: usize, codes: v128, scale: v128, bias: v128, floats: bool): void {
  if (sizeof<S>() == 1 && floats) v128.store(y, f32x4.mul(e4m3(codes), scale));
  else v128.store(y, f32x4.relaxed_madd(f32x4.convert_i32x4_s(codes), scale, bias));
}

function widenCodes<S>(bits: u32, group: u32, codes: usize, s: usize, b: usize, k: u32, y: usize): void {
  const floats = bits == 8;
  for (let g: u32 = 0; g < k; g += group) {
    let scale = f32x4.splat(load1<S>(s)), bias = scale;
    if (sizeof<S>() > 1) bias = f32x4.splat(load1<S>(b));
    else if (!floats) { // 2·value + 12, see unpack.ts
      bias = f32x4.mul(scale, f32x4.splat(-6));
      scale = f32x4.mul(scale, f32x4.splat(0.5));
    }
    for (let i: u32 = 0; i < group; i += 16) {
      const u = v128.load(codes), low = i16x8.extend_low_i8x16_u(u), high = i16x8.extend_high_i8x16_u(u);
      put4<S>(y, i32x4.extend_low_i16x8_u(low), scale, bias, floats);
      put4<S>(y + 16, i32x4.extend_high_i16x8_u(low), scale, bias, floats);
      put4<S>(y + 32, i32x4.extend_low_i16x8_u(high), scale, bias, floats);
      put4<S>(y + 48, i32x4.extend_high_i16x8_u(high), scale, bias, floats);
      codes += 16;
      y += 64;
    }
    s += sizeof<S>();
    b += sizeof<S>();
  }
}

export function dequantiseRow(bits: u32, group: u32, scaleType: i32, w: usize, scales: usize, biases: usize, row: u32, k: u32, y: usize): void {
  const first: usize = <usize>row * (k / group), from = w + <usize>row * ((k * bits) >> 3);
  // Codes of a byte are read where they are. Others become bytes in the last quarter of y: each is read before it is overwritten.
  const codes = bits == 8 ? from : y + 3 * <usize>k;
  if (bits != 8) unpackRow(bits, scaleType >= S_E8M0, false, from, codes, k);
  if (scaleType == S_BF16) widenCodes<u16>(bits, group, codes, scales + first * 2, biases + first * 2, k, y);
  else if (scaleType == S_F16) widenCodes<i16>(bits, group, codes, scales + first * 2, biases + first * 2, k, y);
  else if (scaleType == S_F32) widenCodes<f32>(bits, group, codes, scales + first * 4, biases + first * 4, k, y);
  else if (scaleType == S_E4M3) widenCodes<i8>(bits, group, codes, scales + first, 0, k, y);
  else widenCodes<u8>(bits, group, codes, scales + first, 0, k, y);
}
