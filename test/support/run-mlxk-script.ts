import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { startFakeHub } from './fake-hub.ts';
import { startWritableHub } from './fake-hub-writes.ts';
import { PUSH_TOKEN } from './push-store.ts';
import { writeTinyEncoder } from './tiny-encoder.ts';
import { writeTinyModel } from './tiny-model.ts';

const script = join(import.meta.dirname, 'mlxk-script.sh');
export const HEARTH = join(import.meta.dirname, '../../bin/hearth.js');

export interface ScriptRun {
  /** One line for each command. */
  readonly lines: readonly string[];
  readonly stderr: string;
}

/** Runs test/support/mlxk-script.sh in a home of its own, with `program` under the name `mlxk`. */
export async function runMlxkScript(program: string): Promise<ScriptRun> {
  const directory = await mkdtemp(join(tmpdir(), 'hearth_test_mlxk_'));
  try {
    const [bin, work] = [join(directory, 'bin'), join(directory, 'work')];
    for (const path of [bin, work]) await mkdir(path);
    await chmod(work, 0o700);
    await symlink(program, join(bin, 'mlxk'));
    await writeTinyModel(join(directory, 'models/org/tiny/main'));
    await writeTinyEncoder(join(directory, 'models/org/encoder/main'));
    // huggingface_hub takes another port of its host for the hub itself, and would look for a file's facts there: no file is redirected.
    await using hub = await startFakeHub(join(directory, 'models'), { lfsAtLeastBytes: 2 ** 30 });
    await using pushed = await startWritableHub(join(directory, 'pushed'), {});
    await pushed.repositories.create('tester/model', true);
    const env = {
      PATH: [bin, dirname(process.execPath), process.env['PATH'] ?? ''].join(':'),
      HOME: directory,
      HF_HOME: join(directory, 'hf'),
      HEARTH_HOME: join(directory, 'home'),
      HF_ENDPOINT: hub.endpoint,
      HEARTH_HUB_CDN_HOSTS: hub.cdnHost,
      PUSH_ENDPOINT: pushed.endpoint,
      HF_TOKEN: PUSH_TOKEN,
      HF_HUB_DISABLE_XET: '1',
      MLXK2_ENABLE_ALPHA_FEATURES: '1',
    };
    const stdout = await new Promise<string>((resolve, reject) => {
      execFile('bash', [script], { cwd: work, env }, (error, out) => (error === null ? resolve(out) : reject(error)));
    });
    return { lines: stdout.trim().split('\n'), stderr: await readFile(join(work, 'errors.txt'), 'utf8') };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
