import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cacheModel, llamaProbe, makeTempStore, mlxModel, type TempStore, writeFiles } from '../../test/support/temp-store.ts';
import { systemClock } from '../core/index.ts';
import { createJudgements } from './judgements.ts';

/** A list in a new process, some time after the files were written; tells how many models were judged. */
async function listLater(temp: TempStore, stamp = 'one'): Promise<{ readonly judged: number; readonly rows: readonly unknown[] }> {
  let judged = 0;
  const store = temp.with({
    clock: { ...systemClock, now: () => Date.now() + 60_000 },
    judgements: createJudgements({ file: join(temp.root, 'state', 'judgements.json'), stamp }),
    runtimeProbe: (facts) => {
      judged++;
      return llamaProbe(facts);
    },
  });
  const { models } = await store.list();
  return { judged, rows: models };
}

test('a second list judges nothing again, and says the same', async () => {
  await using temp = await makeTempStore();
  for (const name of ['org/a', 'org/b']) await cacheModel(temp.cacheDirectory, name, mlxModel({ 'README.md': name }));
  await writeFiles(join(temp.workspaceHome, 'mine'), mlxModel());
  const first = await listLater(temp);
  const second = await listLater(temp);
  expect([first.judged, second.judged]).toEqual([3, 0]);
  expect(second.rows).toEqual(first.rows);
  expect(second.rows).toEqual((await temp.store.list()).models);
});

test('a changed file, another stamp and a damaged file of judgements make it judge again', async () => {
  await using temp = await makeTempStore();
  await writeFiles(join(temp.workspaceHome, 'mine'), mlxModel());
  await listLater(temp);
  const config = join(temp.workspaceHome, 'mine', 'config.json');
  const same = mlxModel()['config.json']!.toString().replace('llama', 'strng');
  await writeFile(config, same);
  await utimes(config, new Date(0), new Date(0));
  const changed = await listLater(temp);
  expect(changed).toMatchObject({ judged: 1, rows: [{ runtime_compatible: false }] });
  expect((await listLater(temp)).judged).toBe(0);
  expect((await listLater(temp, 'two')).judged).toBe(1);
  await writeFile(join(temp.root, 'state', 'judgements.json'), '{"stamp":"two","models":{"x":1');
  expect((await listLater(temp, 'two')).judged).toBe(1);
});

test('files that were written this moment are judged again: their times may not show the next change', async () => {
  await using temp = await makeTempStore();
  await writeFiles(join(temp.workspaceHome, 'mine'), mlxModel());
  let judged = 0;
  for (let i = 0; i < 2; i++) {
    const judgements = createJudgements({ file: join(temp.root, 'state', 'judgements.json'), stamp: 'x' });
    const runtimeProbe: typeof llamaProbe = (facts) => {
      judged++;
      return llamaProbe(facts);
    };
    await temp.with({ judgements, runtimeProbe }).list();
  }
  expect(judged).toBe(2);
});

test('[store K17] no tokenizer is parsed on the way to a list, and one without the words of a template is not read as JSON', async () => {
  await using temp = await makeTempStore();
  // Not JSON at all: parsing it would fail, and the template of tokenizer_config.json would not be reached if it came first.
  const tokenizer = `{"chat": "${'x'.repeat(1 << 20)}`;
  await cacheModel(temp.cacheDirectory, 'org/a', mlxModel({ 'tokenizer.json': tokenizer }));
  await cacheModel(temp.cacheDirectory, 'org/b', mlxModel({ 'tokenizer.json': tokenizer, 'tokenizer_config.json': '{"a":1}' }));
  expect((await temp.store.list()).models.map((model) => [model.model_type, model.health])).toEqual([
    ['chat', 'healthy'],
    ['base', 'healthy'],
  ]);
});
