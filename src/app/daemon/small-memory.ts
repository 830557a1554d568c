// How a daemon is started that is there beside models which need the memory. What it does once it runs: keepOldHeapSmall (core).

/** Young objects die at once in it: room for more of them is memory that the models lack. */
export const DAEMON_FLAGS: readonly string[] = ['--max-semi-space-size=4'];

/**
 * For the allocator of glibc; others do not know these names. By itself it keeps what is freed, in an arena for each thread, and takes the buffers of
 * 64 KiB that sockets are read into from there too, so that what remains of one keeps the place of all.
 */
export const DAEMON_ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: '32768',
  MALLOC_TRIM_THRESHOLD_: '65536',
};
