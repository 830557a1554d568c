/* A compute thread that waits at a barrier for ever: it takes pieces of another's products, and tells how many there were. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadKernels } from '../../src/ember/load-kernels.ts';
import { createSharedWork } from '../../src/ember/ranks/shared-work.ts';

interface Data {
  readonly memory: WebAssembly.Memory;
  readonly own: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly room: number;
  readonly control: SharedArrayBuffer;
  readonly products: SharedArrayBuffer;
  /** [pieces done, whether to end] */
  readonly progress: Int32Array;
}

const { memory, own, module, room, control, products, progress } = workerData as Data;
const kernels = loadKernels(memory, module);
kernels.useRoom(room);
const work = createSharedWork({ rank: 1, kernels: loadKernels(own, module) }, { control, products });
work.join([{ rank: 0, kernels }]);
parentPort!.postMessage('ready');
while (Atomics.load(progress, 1) === 0) {
  if (work.help()) Atomics.add(progress, 0, 1);
  else Atomics.pause();
}
