#!/usr/bin/env node
// Builds dist/ for the package: JavaScript and declarations by tsc, the kernels, and the data files that sources read by path.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const run = (...args) => execFileSync(process.execPath, args, { cwd: root, stdio: 'inherit' });

rmSync(join(root, 'dist'), { recursive: true, force: true });
run(join(root, 'tools/build-kernels.mjs'));
run(join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json');
for (const file of globSync('**/*.{json,wasm}', { cwd: join(root, 'src') })) {
  if (/(^|\/)(goldens|fixtures|kernels)\//.test(file)) continue;
  const target = join(root, 'dist', file);
  if (existsSync(target)) continue;
  mkdirSync(dirname(target), { recursive: true });
  cpSync(join(root, 'src', file), target);
}
