// How this CPU multiplies bytes: which dot product is the faster one, and what it takes the second operand's eighth bit for.
import { heldInt } from './numbers';

/** Three instructions that saturate at 16 bits (x86 without VNNI): sums of 16 bits that are widened once per block win, 1.3 to 1.5 times. */
export const NARROW: i32 = 0;
/** One instruction, 1.2 times as fast, second operand unsigned (VNNI). */
export const UNSIGNED: i32 = 1;
/** One instruction, both operands signed (SDOT on Arm). */
export const SIGNED: i32 = 2;

let kind: i32 = -1;
let choice: i32 = -1;

/** 0x7f times 0xff, four times: the form of three instructions saturates at 2·32,767, the others show the sign. No timing decides. */
export function dotKind(): i32 {
  if (kind < 0) {
    const dot = i32x4.extract_lane(i32x4.relaxed_dot_i8x16_i7x16_add_s(heldInt(0x7f7f7f7f), heldInt(-1), heldInt(0)), 0);
    kind = dot < 0 ? SIGNED : dot == 4 * 127 * 255 ? UNSIGNED : NARROW;
  }
  return choice == 0 ? NARROW : kind;
}

export function wideDots(): boolean { return choice < 0 ? dotKind() != NARROW : choice == 1; }

/** Chooses the form (1: 32-bit, 0: 16-bit, −1: ask the CPU), for tests and benchmarks. Activations must be prepared again. */
export function useWideDots(form: i32): void { choice = form; }
