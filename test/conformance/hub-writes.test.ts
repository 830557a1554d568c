import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startWritableHub } from '../support/fake-hub-writes.ts';
import { PUSH_TOKEN } from '../support/push-store.ts';
import { makeTempStore, mlxModel, writeFiles } from '../support/temp-store.ts';

const root = join(import.meta.dirname, '../..');
/** A Python that has the official client. */
const python = process.env['HEARTH_TEST_HUB_CLIENT'] ?? join(root, '.env-peers/bin/python');
const version = existsSync(python)
  ? spawnSync(python, ['-c', 'import huggingface_hub; print(huggingface_hub.__version__)'], { encoding: 'utf8' }).stdout?.trim()
  : '';
const skip = version === '' || version === undefined;

describe('the writing side of the fake hub', () => {
  it.skipIf(skip)(
    `takes what the official client sends, by its routes${skip ? ' (skipped: HEARTH_TEST_HUB_CLIENT names no Python with huggingface_hub)' : ''}`,
    async () => {
      const directory = await mkdtemp(join(tmpdir(), 'hearth_test_'));
      const folder = join(directory, 'model');
      const files = mlxModel({
        'model.safetensors': randomBytes(3 * 1024 * 1024 + 5),
        'small.gguf': randomBytes(900),
        'README.md': '# Model\n',
        'sub/a.json': '{}',
        'empty.txt': '',
      });
      await writeFiles(folder, files);
      await using hub = await startWritableHub(join(directory, 'hub'), { multipartAtLeastBytes: 2 * 1024 * 1024, partBytes: 1024 * 1024 });
      const child = spawn(python, [join(root, 'test/reference/hub-client.py'), folder, 'tester/model'], {
        env: {
          PATH: process.env['PATH'] ?? '',
          HOME: directory,
          HF_HOME: join(directory, 'hf'),
          HF_ENDPOINT: hub.endpoint,
          HF_TOKEN: PUSH_TOKEN,
          HF_HUB_DISABLE_XET: '1',
          HF_HUB_DISABLE_TELEMETRY: '1',
          HF_HUB_DISABLE_PROGRESS_BARS: '1',
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let [out, told] = ['', ''];
      child.stdout.on('data', (piece) => {
        out += String(piece);
      });
      child.stderr.on('data', (piece) => {
        told += String(piece);
      });
      const code = await new Promise((done) => child.on('close', done));
      expect([code, code === 0 ? '' : told]).toEqual([0, '']);
      const steps = new Map(
        out
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as Record<string, unknown>)
          .map((step) => [step['step'], step]),
      );
      const all = ['.gitattributes', ...Object.keys(files)].sort();
      expect(steps.get('create')).toMatchObject({ private: true, id: 'tester/model' });
      expect(steps.get('upload')).toMatchObject({ files: all });
      expect(steps.get('no-op')?.['oid']).toBe(steps.get('upload')?.['oid']);
      expect(steps.get('branch')).toMatchObject({ files: [...all, 'extra.txt'].sort() });
      expect(steps.get('moved')).toMatchObject({ refused: true, status: 412 });
      expect(steps.get('delete')).toMatchObject({ files: all });
      expect(steps.get('download')).toMatchObject({ same: true, count: Object.keys(files).length });
      // And hearth reads what that client wrote.
      await using temp = await makeTempStore();
      const pulled = await temp.with({ hub: { endpoint: hub.endpoint, token: PUSH_TOKEN } }).pull({ reference: 'tester/model' });
      const weights = join(temp.cacheDirectory, 'models--tester--model/snapshots', pulled.commit_hash!, 'model.safetensors');
      expect((await readFile(weights)).equals(files['model.safetensors'] as Buffer)).toBe(true);
      await rm(directory, { recursive: true, force: true });
    },
  );
});
