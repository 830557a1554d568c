/** Pages of the KV cache with reference counts. It knows numbers only: the cells lie in the ranks. */
export interface PagePool {
  readonly pageCount: number;
  readonly free: number;
  /** `count` pages with one reference each, or null (and no change) when fewer are free. */
  allocate(count: number): Uint32Array | null;
  /** One more user of each page: a shared prefix. */
  retain(pages: Iterable<number>): void;
  /** One user less; a page without users is free again. */
  release(pages: Iterable<number>): void;
  references(page: number): number;
}

/** Pages are given out lowest number first after a start, then last freed first, so that memory that was touched is used again. */
export function createPagePool(pageCount: number): PagePool {
  const references = new Uint32Array(pageCount);
  const freePages = Array.from({ length: pageCount }, (_, i) => pageCount - 1 - i);
  const used = (page: number): void => {
    if (!references[page]) throw new RangeError(`page ${page} is not in use`);
  };
  return {
    pageCount,
    get free() {
      return freePages.length;
    },
    allocate(count) {
      if (count > freePages.length) return null;
      const pages = Uint32Array.from({ length: count }, () => freePages.pop()!);
      for (const page of pages) references[page] = 1;
      return pages;
    },
    retain(pages) {
      for (const page of pages) {
        used(page);
        references[page]!++;
      }
    },
    release(pages) {
      for (const page of pages) {
        used(page);
        references[page]!--;
        if (references[page] === 0) freePages.push(page);
      }
    },
    references: (page) => references[page] ?? 0,
  };
}
