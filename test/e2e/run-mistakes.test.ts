import { readdir, rename, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createTestHome } from '../support/hearth-process.ts';
import { runInProcess } from '../support/run-cli.ts';
import { installTinyModel, writeTinyModel } from '../support/tiny-model.ts';

const SHORT = ['--temperature', '0', '--max-tokens', '4'];

describe('run with a model that cannot be loaded', () => {
  it("tells the error once, with the user's own file; log lines come only when they are asked for", async () => {
    await using home = await createTestHome();
    const model = join(home.directory, 'cut');
    await writeTinyModel(model);
    const file = join(model, 'model.safetensors');
    await truncate(file, 20_000);
    const { code, stdout, stderr } = await home.run(['run', './cut', ...SHORT, 'hi']);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^run: Error: .*\nHint: .*\n$/);
    expect(stderr).toContain('cut/model.safetensors');
    expect(stderr).not.toContain(home.home);
    const logged = await home.run(['run', './cut', ...SHORT, '--log-level', 'error', 'hi']);
    expect(logged.stderr).toMatch(/error +model-load-error/);
  });
});

it('run tells that a file is no GGUF file', async () => {
  await using home = await createTestHome();
  await writeFile(join(home.directory, 'notes.gguf'), 'not a model');
  const { code, stderr } = await runInProcess(['run', './notes.gguf', 'hi'], { directory: home.directory });
  expect([code, stderr]).toEqual([1, expect.stringContaining('notes.gguf does not begin as a GGUF file does')]);
});

describe('run by path', () => {
  it('points to ./NAME where a bare name is only a directory here, and tells of a link that leads out', async () => {
    await using home = await createTestHome();
    await writeTinyModel(join(home.directory, 'mine'));
    const facts = { directory: home.directory };
    const bare = await runInProcess(['run', 'mine', ...SHORT, 'hi'], facts);
    expect([bare.code, bare.stderr]).toEqual([1, expect.stringContaining('write ./mine')]);
    await rename(join(home.directory, 'mine/model.safetensors'), join(home.directory, 'weights.safetensors'));
    await symlink('../weights.safetensors', join(home.directory, 'mine/model.safetensors'));
    const linked = await runInProcess(['run', './mine', ...SHORT, 'hi'], facts);
    expect([linked.code, linked.stderr]).toEqual([1, expect.stringContaining('model.safetensors is a link')]);
  });

  it('takes a directory whose name is a part of another name, and two directories of one name', async () => {
    await using home = await createTestHome();
    await installTinyModel(home.hfHome);
    for (const directory of ['tiny', 'a/model', 'b/model']) await writeTinyModel(join(home.directory, directory));
    const facts = { directory: home.directory };
    for (const path of ['./tiny', './tiny']) expect(await runInProcess(['run', path, ...SHORT, 'hi'], facts)).toMatchObject({ code: 0 });
    const server = home.start(['serve', '--json', '--port', '0']);
    await server.waitFor('stdout', /\n\}\n/);
    const names = new Set<string>();
    for (const path of ['./a/model', './b/model', './a/model']) {
      const { code, stdout } = await runInProcess(['run', path, ...SHORT, '--json', 'hi'], facts);
      expect(code).toBe(0);
      names.add((JSON.parse(stdout) as { data: { resolved: { name: string } } }).data.resolved.name);
    }
    expect([...names]).toEqual(['model', expect.stringMatching(/^model-[0-9a-f]{8}$/)]);
    expect(await readdir(join(home.home, 'run', 'engines'))).not.toHaveLength(0);
  });
});
