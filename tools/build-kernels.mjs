#!/usr/bin/env node
// Builds the AssemblyScript of src/ember/kernels to src/ember/ember.wasm and that of src/formats/kernels to src/formats/formats.wasm, when a source is
// newer than the module.
// --named FILE: ember's kernels to FILE instead, with the names of the functions, for profiles.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const MODULES = [
  {
    folder: join(root, 'src/ember/kernels'),
    output: join(root, 'src/ember/ember.wasm'),
    options: ['--enable', 'simd,relaxed-simd,threads', '--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
  },
  { folder: join(root, 'src/formats/kernels'), output: join(root, 'src/formats/formats.wasm'), options: ['--enable', 'simd', '--initialMemory', '1'] },
];
const named = process.argv[2] === '--named' ? process.argv[3] : undefined;

/** Runs the compiler. */
function compile({ folder, options }, to, more) {
  const compiler = join(root, 'node_modules/assemblyscript/bin/asc.js');
  const common = ['-O3', '--noAssert', '--runtime', 'stub'];
  execFileSync(process.execPath, [compiler, join(folder, 'index.ts'), '-o', to, ...common, ...options, ...more], { stdio: 'inherit', cwd: root });
}

function newestSource(folder) {
  const files = [fileURLToPath(import.meta.url), ...readdirSync(folder, { recursive: true }).map((file) => join(folder, file))];
  return Math.max(...files.map((file) => statSync(file).mtimeMs));
}

if (named !== undefined) compile(MODULES[0], named, ['--debug']);
else
  for (const module of MODULES) {
    // An installed package holds the built modules, and no source.
    if (!existsSync(module.folder)) continue;
    if (!existsSync(module.output) || statSync(module.output).mtimeMs < newestSource(module.folder)) compile(module, module.output, []);
  }
