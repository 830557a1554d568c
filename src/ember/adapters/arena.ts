/** Blocks of one rank's memory behind everything that the load placed there. The memory grows to the end of the last block, and never shrinks. */
export interface Arena {
  /** Offset of a free block of this size, aligned; the lowest that fits. */
  take(bytes: number): number;
  free(offset: number): void;
  /** Bytes of the blocks in use. */
  readonly usedBytes: number;
}

const ALIGNMENT = 64;
const align = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

export function createArena(start: number): Arena {
  /** In order of offset. */
  const blocks: { offset: number; bytes: number }[] = [];
  const first = align(start);
  return {
    take(wanted) {
      const bytes = align(wanted);
      let offset = first;
      let place = 0;
      for (; place < blocks.length && blocks[place]!.offset - offset < bytes; place++) offset = blocks[place]!.offset + blocks[place]!.bytes;
      blocks.splice(place, 0, { offset, bytes });
      return offset;
    },
    free(offset) {
      const place = blocks.findIndex((block) => block.offset === offset);
      if (place >= 0) blocks.splice(place, 1);
    },
    get usedBytes() {
      return blocks.reduce((sum, block) => sum + block.bytes, 0);
    },
  };
}
