import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { exportGguf } from '../../../src/formats/index.ts';
import { FAMILY_CONFIGS, makeFamilyCheckpoint } from '../../support/family-checkpoint.ts';

/** Writes a GGUF file of each tiny family into the folder that is named; make-families.py asks llama.cpp about them. */
const folder = process.argv[2]!;
await mkdir(folder, { recursive: true });
for (const [i, name] of Object.keys(FAMILY_CONFIGS).entries()) {
  // The folder's name goes into the file, and llama.cpp treats models that are called phi-3 in a way of its own.
  await makeFamilyCheckpoint(name, join(folder, `tiny-${i}`));
  await exportGguf(join(folder, `tiny-${i}`), join(folder, `${name}.gguf`));
}
