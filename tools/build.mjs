#!/usr/bin/env node
// Builds dist/ (or the folder that is named): JavaScript and declarations by tsc, the kernels, the data files that sources read by path, and one file
// of the daemon and of each program that is started by path (a child process, a thread).
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const output = resolve(process.argv[2] ?? join(root, 'dist'));
const run = (...args) => execFileSync(process.execPath, args, { cwd: root, stdio: 'inherit' });

/**
 * The text of a program stays in its memory, and takes two bytes for each character as soon as one of them is beyond Latin-1: without comments and
 * indents, and with such characters escaped, the daemon's is 1.7 MB in place of 4.3. Names stay, for the stacks in logs.
 */
const SMALL = { compress: false, mangle: false, codegen: { removeWhitespace: true, asciiOnly: true } };

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
await bundlePrograms();
// bin/start.mjs compares its time with those of the sources.
writeFileSync(join(output, '.complete'), '');
utimesSync(join(output, '.complete'), startedAt, startedAt);

/**
 * Node takes a millisecond and more to find and link each of a program's two hundred modules, before the program has done anything: of our own
 * modules it gets one file. Packages stay what the installer put there.
 */
async function bundlePrograms() {
  const { build } = await import('rolldown');
  const daemon = join(output, 'app/daemon/main.js');
  const programs = globSync('**/*.js', { cwd: output }).flatMap((file) => {
    const path = join(output, file);
    return [...readFileSync(path, 'utf8').matchAll(/programUrl\(import\.meta\.url, '([^']+)'\)/g)].map(([, name]) => resolve(dirname(path), `${name}.js`));
  });
  // All are read before any is written: none may hold another's bundle.
  const built = await Promise.all(
    [daemon, ...new Set(programs)].map(async (path) => {
      const result = await build({
        input: path,
        platform: 'node',
        external: (id) => !id.startsWith('.') && !id.startsWith('/') && !/^[a-zA-Z]:\\/.test(id),
        // No module of ours is there for what it does when it is loaded.
        treeshake: { moduleSideEffects: false },
        plugins: [{ name: 'place', transform: (code, id) => ({ code: code.replaceAll('import.meta.url', placeOf(id, path)) }) }],
        output: { format: 'esm', codeSplitting: false, comments: false, minify: SMALL },
        write: false,
        logLevel: 'warn',
      });
      return { path, code: result.output[0].code };
    }),
  );
  for (const { path, code } of built) writeFileSync(path, code);
}

/** Files are found beside the module that names them, not beside the bundle. */
function placeOf(module, bundle) {
  if (module === bundle) return 'import.meta.url';
  return `new URL('${relative(dirname(bundle), module).split(sep).join('/')}', import.meta.url).href`;
}
