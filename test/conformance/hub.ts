import { createHash } from 'node:crypto';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isHearthError } from '../../src/core/index.ts';
import { DEFAULT_CDN_HOSTS } from '../../src/store/index.ts';
import { makeTempStore } from '../support/temp-store.ts';

export interface HubUnderTest {
  readonly name: string;
  /** A reason why it cannot be asked here. */
  readonly skip?: string;
  readonly setUp: () => Promise<AsyncDisposable & { readonly endpoint: string }>;
  /** A public model and some of its small files, one of them config.json. */
  readonly model: string;
  readonly files: readonly string[];
}

/** What the store expects of a model hub: the same on the real one and on the fake. */
export function describeHub(hub: HubUnderTest): void {
  describe.skipIf(hub.skip !== undefined)(hub.skip === undefined ? `hub ${hub.name}` : `hub ${hub.name} (skipped: ${hub.skip})`, () => {
    const pull = async (reference: string) => {
      await using server = await hub.setUp();
      const temp = await makeTempStore();
      const store = temp.with({ hub: { endpoint: server.endpoint, timeoutMs: 20_000, cdnHosts: [...DEFAULT_CDN_HOSTS, '127.0.0.1'] } });
      try {
        await store.pull({ reference, include: hub.files });
        return { temp, code: null };
      } catch (error) {
        return { temp, code: isHearthError(error) ? error.code : String(error) };
      }
    };

    it('gives the chosen files of a commit, each named by its digest', async () => {
      const { temp, code } = await pull(hub.model);
      await using _ = temp;
      expect(code).toBe(null);
      const directory = join(temp.cacheDirectory, `models--${hub.model.replace('/', '--')}`);
      const commit = await readFile(join(directory, 'refs/main'), 'utf8');
      expect(commit).toMatch(/^[0-9a-f]{40}$/);
      const snapshot = join(directory, 'snapshots', commit);
      expect((await readdir(snapshot)).toSorted()).toEqual(hub.files.toSorted());
      for (const file of hub.files) {
        const content = await readFile(join(snapshot, file));
        const digest = (await readlink(join(snapshot, file))).split('/').at(-1)!;
        const hash = digest.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${content.length}\0`);
        expect(hash.update(content).digest('hex')).toBe(digest);
      }
      expect(JSON.parse(await readFile(join(snapshot, 'config.json'), 'utf8'))).toHaveProperty('model_type');
    });

    it('says of an unknown revision that it has none, and of an unknown repository that it is closed or not there', async () => {
      for (const [reference, expected] of [
        [`${hub.model}@no-such-revision`, 'hash_not_found'],
        [`${hub.model}-that-nobody-made`, 'access_denied'],
      ]) {
        const { temp, code } = await pull(reference!);
        await using _ = temp;
        expect(code).toBe(expected);
        expect(await readdir(temp.cacheDirectory).catch(() => [])).toEqual([]);
      }
    });
  });
}
