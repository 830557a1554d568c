const { fround } = Math;
/** Added and taken away again, it rounds |x| < 2^51 half to even: between 2^52 and 2^53 the unit of a double is 1. */
export const MAGIC = 1.5 * 2 ** 52;
const SMALLEST_SCALE = fround(1e-7);

/**
 * Scale and bias of group g from its smallest and largest number, in float32 steps as MLX takes them (docs/spec/formats.md §3.3): the edge that is
 * farther from zero becomes a whole number of steps, so that it is kept. `top`: the largest code.
 */
export function setScale(top: number, min: number, max: number, scales: Float32Array, biases: Float32Array, g: number): void {
  let scale = fround(fround(max - min) / top);
  if (!(scale > SMALLEST_SCALE)) scale = SMALLEST_SCALE;
  const fromMin = Math.abs(min) > Math.abs(max);
  if (!fromMin) scale = -scale;
  const edge = fromMin ? min : max;
  const steps = fround(edge / scale) + MAGIC - MAGIC;
  scales[g] = steps === 0 ? scale : fround(edge / steps);
  biases[g] = steps === 0 ? 0 : edge;
}
