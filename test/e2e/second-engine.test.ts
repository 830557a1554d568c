import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { MODULES } from '../architecture/import-table.ts';
import { checkLayers, importsOf, readSources } from '../architecture/layers.ts';
import { temporaryDirectory } from '../support/engine-run.ts';

const root = join(import.meta.dirname, '../..');
const copy = temporaryDirectory();
afterAll(() => copy[Symbol.dispose]());

/** The fake engine as an embedded one of its own: a folder beside ember's. */
function addEngine(): void {
  const folder = join(copy.path, 'src/engines/spark');
  mkdirSync(folder);
  for (const [from, to] of [
    ['fake-engine.ts', 'spark-engine.ts'],
    ['fake-engine-worker.ts', 'fake-engine-worker.ts'],
  ]) {
    const source = readFileSync(join(root, 'test/support', from!), 'utf8')
      .replaceAll("'../../src/engines/", "'../")
      .replaceAll("'../../src/", "'../../");
    writeFileSync(join(folder, to!), source.replaceAll('createFakeEngine', 'createSparkEngine'));
  }
  edit('src/engines/index.ts', (text) => `${text}export { createSparkEngine } from './spark/spark-engine.ts';\n`);
}

const edit = (path: string, change: (text: string) => string): void => {
  const file = join(copy.path, path);
  const text = readFileSync(file, 'utf8');
  const changed = change(text);
  expect(changed).not.toBe(text);
  writeFileSync(file, changed);
};

describe('[engines E2] the port', () => {
  test('hides ember: no file outside engines/ember imports it', () => {
    const others = readSources(join(root, 'src')).filter(({ path }) => !path.startsWith('ember/') && !path.startsWith('engines/ember/'));
    const importers = others.filter(({ text }) => importsOf(text).some((specifier) => /(^|\/)ember\/(?!ember-engine)/.test(specifier)));
    expect(importers.map(({ path }) => path)).toEqual([]);
    expect(others.length).toBeGreaterThan(100);
  });

  test('takes a second embedded engine as a folder and one line in app, and a request reaches it', async () => {
    for (const part of ['src', 'test/support', 'package.json']) cpSync(join(root, part), join(copy.path, part), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(copy.path, 'node_modules'));
    addEngine();
    // The one line: where the engines of the installation are listed. Its import is the other half of it.
    edit('src/app/create-engines.ts', (text) =>
      text
        .replace(/return \[\s*(createEmberEngine\(.*\)),?\s*\];/s, "return [$1, createSparkEngine({ id: 'spark' })];")
        .replace('{ createEmberEngine,', '{ createEmberEngine, createSparkEngine,'),
    );
    expect(checkLayers(readSources(join(copy.path, 'src')), MODULES)).toEqual([]);

    const program = join(copy.path, 'ask.ts');
    writeFileSync(
      program,
      `import { createEngines } from './src/app/create-engines.ts';
import { startHttp } from './test/support/http-fixture.ts';
const engines = createEngines(${JSON.stringify(join(copy.path, 'home'))});
await using server = await startHttp({}, { engines });
const answer = await server.openai.chat.completions.create({ model: 'org/fake', messages: [{ role: 'user', content: 'hello there' }] });
console.log(JSON.stringify({ engines: engines.map(({ id }) => id), text: answer.choices[0].message.content }));
`,
    );
    const { stdout } = await promisify(execFile)(process.execPath, [program], { cwd: copy.path });
    expect(JSON.parse(stdout)).toEqual({ engines: ['ember', 'mlx', 'spark'], text: 'echo: hello there' });
  });
});
