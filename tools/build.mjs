#!/usr/bin/env node
// Builds dist/ (or the folder that is named): JavaScript and declarations by tsc, the kernels, and the data files that sources read by path.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const output = resolve(process.argv[2] ?? join(root, 'dist'));
const run = (...args) => execFileSync(process.execPath, args, { cwd: root, stdio: 'inherit' });

if (!existsSync(join(root, 'src'))) process.exit(0); // an installed package is built already
rmSync(output, { recursive: true, force: true });
run(join(root, 'tools/build-kernels.mjs'));
// The moment before the sources are read: whatever changes from now on is newer than what is built.
const startedAt = new Date();
run(join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json', '--outDir', output);
for (const file of globSync('**/*.{json,wasm}', { cwd: join(root, 'src') })) {
  if (/(^|\/)(goldens|fixtures|kernels)\//.test(file)) continue;
  const target = join(output, file);
  if (existsSync(target)) continue;
  mkdirSync(dirname(target), { recursive: true });
  cpSync(join(root, 'src', file), target);
}
// bin/start.mjs compares its time with those of the sources.
writeFileSync(join(output, '.complete'), '');
utimesSync(join(output, '.complete'), startedAt, startedAt);
