#!/usr/bin/env node
// Builds src/ember/kernels/*.ts (AssemblyScript) to src/ember/ember.wasm, when a source is newer than the module.
// --named FILE: to FILE instead, with the names of the functions, for profiles.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = join(root, 'src/ember/kernels');
const entry = join(folder, 'index.ts');

const output = join(root, 'src/ember/ember.wasm');
const named = process.argv[2] === '--named' ? process.argv[3] : undefined;

/** Runs the compiler. */
function compile(to, more) {
  const memory = ['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'];
  const features = ['--runtime', 'stub', '--enable', 'simd,relaxed-simd,threads'];
  const compiler = join(root, 'node_modules/assemblyscript/bin/asc.js');
  execFileSync(process.execPath, [compiler, entry, '-o', to, '-O3', '--noAssert', ...features, ...memory, ...more], { stdio: 'inherit', cwd: root });
}

function newestSource() {
  const files = [fileURLToPath(import.meta.url), ...readdirSync(folder, { recursive: true }).map((file) => join(folder, file))];
  return Math.max(...files.map((file) => statSync(file).mtimeMs));
}

// An installed package holds the built module, and no source.
if (existsSync(entry)) {
  if (named !== undefined) compile(named, ['--debug']);
  else if (!existsSync(output) || statSync(output).mtimeMs < newestSource()) compile(output, []);
}
