// Which dot product of bytes is the faster one here. The 32-bit form is one instruction where the CPU has VNNI (x86) or SDOT (Arm), and 1.2 times
// as fast; elsewhere x86 makes three of it, and sums of 16 bits that are widened once per block win.
import { heldInt } from './numbers';

let wide: i32 = -1;

/** With a second operand beyond its 7 bits the form of three instructions saturates at 2·32,767; the single ones do not. */
function probe(): i32 {
  const dots = i32x4.relaxed_dot_i8x16_i7x16_add_s(heldInt(0x7f7f7f7f), heldInt(-1), heldInt(0));
  return i32x4.extract_lane(dots, 0) == 65534 ? 0 : 1;
}

export function wideDots(): boolean {
  if (wide < 0) wide = probe();
  return wide == 1;
}

/** Chooses the form (1: 32-bit, 0: 16-bit, −1: ask the CPU), for tests and benchmarks. Activations must be prepared again. */
export function useWideDots(choice: i32): void { wide = choice; }
