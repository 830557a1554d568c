import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import { startFakeHub } from '../support/fake-hub.ts';
import { mlxModel, writeFiles } from '../support/temp-store.ts';
import { describeHub } from './hub.ts';

/** `https://…` of the real hub; the tests need no network unless it is named. */
const endpoint = process.env['HEARTH_TEST_HUB'];

describe('[house H10] the model hub', () => {
  describeHub({
    name: 'fake',
    model: 'mlx-community/tiny',
    files: ['config.json', 'tokenizer.json'],
    async setUp() {
      const folder = await mkdtemp(join(tmpdir(), 'hearth-hub-'));
      await writeFiles(join(folder, 'mlx-community/tiny/main'), mlxModel({}));
      const hub = await startFakeHub(folder);
      return {
        endpoint: hub.endpoint,
        async [Symbol.asyncDispose]() {
          await hub[Symbol.asyncDispose]();
          await rm(folder, { recursive: true, force: true });
        },
      };
    },
  });

  describeHub({
    name: 'real',
    ...(endpoint === undefined ? { skip: 'HEARTH_TEST_HUB does not name its address' } : {}),
    model: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    files: ['config.json', 'tokenizer.json'],
    setUp: async () => ({ endpoint: endpoint!, [Symbol.asyncDispose]: async () => {} }),
  });
});
