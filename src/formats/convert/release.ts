/** Frees the memory now: collections come too seldom for buffers of megabytes. What shares its buffer with others is left alone. */
export function release(bytes: Uint8Array | Float32Array | Float64Array): void {
  if (bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0);
}
