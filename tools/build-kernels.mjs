#!/usr/bin/env node
// Builds src/ember/kernels/*.ts (AssemblyScript) to src/ember/ember.wasm, when a source is newer than the module.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = join(root, 'src/ember/kernels');
const entry = join(folder, 'index.ts');
const output = join(root, 'src/ember/ember.wasm');
if (!existsSync(entry)) process.exit(0); // an installed package holds the built module
const newest = Math.max(
  statSync(fileURLToPath(import.meta.url)).mtimeMs,
  ...readdirSync(folder, { recursive: true }).map((f) => statSync(join(folder, f)).mtimeMs),
);
if (!existsSync(output) || statSync(output).mtimeMs < newest) {
  const asc = join(root, 'node_modules/assemblyscript/bin/asc.js');
  execFileSync(
    process.execPath,
    [
      asc,
      entry,
      '-o',
      output,
      '-O3',
      '--noAssert',
      '--runtime',
      'stub',
      '--enable',
      'simd,relaxed-simd,threads',
      '--importMemory',
      '--sharedMemory',
      '--initialMemory',
      '1',
      '--maximumMemory',
      '65536',
    ],
    { stdio: 'inherit', cwd: root },
  );
}
