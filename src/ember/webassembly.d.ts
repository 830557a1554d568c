/** The part of the WebAssembly JavaScript API that ember uses: the compiler's own declarations come only with those of a browser. */
declare namespace WebAssembly {
  /** Compiled code; can be sent to worker threads. */
  class Module {
    constructor(bytes: Uint8Array);
    private readonly compiled: never;
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum: number; shared: true });
    /** Larger after `grow`: what was there before keeps its place, also in older buffers. */
    readonly buffer: SharedArrayBuffer;
    /** By pages of 64 KiB. Throws a RangeError where there is no room. */
    grow(pages: number): number;
  }
  class Instance {
    constructor(module: Module, imports?: Readonly<Record<string, Readonly<Record<string, unknown>>>>);
    readonly exports: Readonly<Record<string, unknown>>;
  }
}

interface Atomics {
  /** Tells the processor that the thread spins (ECMAScript 2026). */
  pause(iterations?: number): void;
}
