import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { createTestHome } from '../support/hearth-process.ts';
import { runInProcess } from '../support/run-cli.ts';
import { installTinyModel, TINY_COMMIT, TINY_MODEL } from '../support/tiny-model.ts';

it('pull asks on a terminal whether to go on with a model that is not whole, and refuses without one', async () => {
  await using home = await createTestHome();
  await installTinyModel(home.hfHome);
  await rm(join(home.hfHome, 'hub/models--hearth-test--tiny-llama/snapshots', TINY_COMMIT, 'model.safetensors'));
  const pull = (typed: string | null, ...options: string[]) =>
    runInProcess(['pull', TINY_MODEL, ...options], {
      directory: home.directory,
      terminal: typed !== null,
      stdin: Readable.from(typed === null ? [] : [typed]),
    });
  expect((await pull(null)).code).toBe(1);
  const no = await pull('n\n');
  expect(no).toMatchObject({ code: 130, stderr: expect.stringContaining('Resume download? [Y/n]') });
  expect((await pull('')).code).toBe(130);
  // Nothing listens there: that the hub was asked shows that the download went on.
  for (const each of [pull('\n'), pull('yes\n'), pull(null, '--yes')]) expect((await each).stderr).toContain('cannot be reached');
  expect((await pull('y\n', '--json')).code).toBe(1);
});
