import { setFlagsFromString } from 'node:v8';

/**
 * From now on the space for new objects of this process grows no more (it would, to 90 MB, while most of it is garbage). For a program that works
 * long on buffers of its own: it collects garbage more often, which costs little when few objects live long. Threads are not touched.
 */
export function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

/**
 * From now on garbage among the objects that lived for a while is collected once it is half of what lives; otherwise there may be three times as
 * much of it as life. For a program that is always there and holds little: each collection costs it some milliseconds.
 */
export function keepOldHeapSmall(): void {
  setFlagsFromString('--heap-growing-percent=50');
}
