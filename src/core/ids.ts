import { randomBytes } from 'node:crypto';

/** UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits. */
export function uuidv7(nowMs = Date.now()): string {
  const bytes = pooledRandom(16);
  bytes.writeUIntBE(nowMs, 0, 6);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Random bytes out of a block that is drawn ahead: asking the system for each id costs more than the rest of it. */
export function pooledRandom(count: number): Buffer {
  if (at + count > pool.length) {
    pool = randomBytes(POOL_BYTES);
    at = 0;
  }
  at += count;
  // A copy: nobody gets bytes that another id was made of.
  return Buffer.from(pool.subarray(at - count, at));
}

const POOL_BYTES = 4096;
let pool = Buffer.alloc(0);
let at = 0;

export const requestId = (): string => `req_${uuidv7()}`;
