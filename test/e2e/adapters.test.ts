import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BaseModule, openCheckpoint, writeMlxAdapter } from '../../src/formats/index.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { runInProcess } from '../support/run-cli.ts';
import { makeTinyAdapter } from '../support/tiny-adapter.ts';
import { installTinyModel } from '../support/tiny-model.ts';

const GOLDEN = join(import.meta.dirname, '../reference/goldens/llama-bf16-tied');

describe('an adapter in the home', () => {
  let home: TestHome;
  const adapters = () => join(home.home, 'adapters');
  const run = (args: readonly string[]) =>
    runInProcess(['run', 'tiny-llama', '--temperature', '0', '--max-tokens', '12', ...args, 'hello'], { directory: home.directory });

  beforeAll(async () => {
    home = await createTestHome();
    await installTinyModel(home.hfHome);
    await using checkpoint = await openCheckpoint(GOLDEN);
    const base = [...checkpoint.tensors.values()]
      .filter(({ name, shape }) => name.endsWith('_proj.weight') && shape.length === 2)
      .map(({ name, shape }): BaseModule => ({ path: name.replace(/\.weight$/, ''), kind: 'linear', outputs: shape[0]!, inputs: shape[1]!, experts: 1 }));
    await mkdir(home.home, { recursive: true, mode: 0o700 });
    await mkdir(adapters(), { mode: 0o700 });
    await writeMlxAdapter(join(adapters(), 'mine'), makeTinyAdapter(base, { scale: 1 }), { model: 'org/base' });
    await writeMlxAdapter(join(adapters(), 'foreign'), makeTinyAdapter(base.map((module) => ({ ...module, inputs: module.inputs + 1 }))));
    await cp(join(adapters(), 'mine', 'adapters.safetensors'), join(adapters(), 'bare', 'adapters.safetensors'));
  });
  afterAll(async () => {
    await home[Symbol.asyncDispose]();
  });

  it('changes what the model says; at a scale of 0 it says what it says without', async () => {
    const [without, one, none] = [await run([]), await run(['--adapter', 'mine']), await run(['--adapter', 'mine', '--adapter-scale', '0'])];
    expect([without.code, one.code, none.code]).toEqual([0, 0, 0]);
    expect(one.stdout).not.toBe(without.stdout);
    expect(none.stdout).toBe(without.stdout);
  });

  it('that is absent, incomplete or made for another base is refused with its own code', async () => {
    const codeOf = async (...args: string[]): Promise<string> => {
      const { stdout, stderr } = await run(['--json', ...args]);
      return /"code":\s*"(\w+)"/.exec(stdout + stderr)?.[1] ?? `${stdout}${stderr}`;
    };
    expect(await codeOf('--adapter', 'nowhere')).toBe('adapter_not_found');
    expect(await codeOf('--adapter', 'bare')).toBe('adapter_config_missing');
    expect(await codeOf('--adapter', 'foreign')).toBe('adapter_base_mismatch');
    for (const name of ['../mine', '/etc', 'a b']) expect(await codeOf('--adapter', name)).toBe('invalid_value');
    expect(await codeOf('--adapter-scale', '1')).toBe('invalid_value');
  });
});
