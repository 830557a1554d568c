import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codeOf, HUB_MODEL, makeHubStore, namesIn } from '../../test/support/hub-store.ts';
import { startIntake } from '../../test/support/intake-run.ts';
import { makeKey, verify } from '../../test/support/signing.ts';
import { mlxModel } from '../../test/support/temp-store.ts';
import { SIGNATURE_FILE, signDirectory } from '../security/index.ts';

const HEADER = '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}';
/** One tensor of one byte. */
const WEIGHTS = Buffer.from([HEADER.length, 0, 0, 0, 0, 0, 0, 0, ...Buffer.from(HEADER), 1]);
const OTHERS = { 'calibration.dat': 'one two three\n', 'notes/run.log2': 'a line\n' };

/** A repository whose publisher signed all of it, then added what is in `later`. */
async function signedRepository(files: Readonly<Record<string, string | Uint8Array>>) {
  const { key, intake } = { key: makeKey(), intake: await startIntake() };
  const hub = await makeHubStore({}, mlxModel({ 'model.safetensors': WEIGHTS, ...files }));
  const folder = join(hub.temp.hubFolder, HUB_MODEL, 'main');
  await signDirectory({ directory: folder, signer: key.signer });
  return {
    key,
    hub,
    intake,
    folder,
    store: hub.temp.with({ hub: { endpoint: hub.hub.endpoint, timeoutMs: 2000 }, intake: intake.intake }),
    async [Symbol.asyncDispose]() {
      await hub[Symbol.asyncDispose]();
      await intake[Symbol.asyncDispose]();
    },
  };
}

/** Another name in what was signed, as a tool with looser rules would have written it. */
async function renameSigned(folder: string, from: string, to: string): Promise<void> {
  const path = join(folder, SIGNATURE_FILE);
  const bundle = JSON.parse(await readFile(path, 'utf8')) as { dsseEnvelope: { payload: string } };
  const payload = Buffer.from(bundle.dsseEnvelope.payload, 'base64').toString('utf8').replace(from, to);
  bundle.dsseEnvelope.payload = Buffer.from(payload).toString('base64');
  await writeFile(path, JSON.stringify(bundle));
}

test('files of unknown kinds are fetched when the signature lists them, and it holds; without one they are skipped', async () => {
  await using signed = await signedRepository(OTHERS);
  const pulled = await signed.store.pull({ reference: HUB_MODEL });
  expect(pulled).toMatchObject({ download_status: 'success', skipped: [] });
  const snapshot = join(signed.hub.directory, 'snapshots', pulled.commit_hash!);
  const blobs = [join(signed.hub.directory, 'blobs')];
  expect(await verify(snapshot, [signed.key.trusted], { blobs })).toMatchObject({ problems: [] });

  await using unsigned = await makeHubStore({}, mlxModel(OTHERS));
  const skipped = await unsigned.store.pull({ reference: HUB_MODEL });
  expect(skipped.skipped?.toSorted()).toEqual(Object.keys(OTHERS).toSorted());
});

test('what the signature does not list stays behind, although others come', async () => {
  await using signed = await signedRepository({ 'calibration.dat': 'one\n' });
  await writeFile(join(signed.folder, 'later.dat'), 'two\n');
  expect(await signed.store.pull({ reference: HUB_MODEL })).toMatchObject({ skipped: ['later.dat'] });
});

test('a file of a refused kind in the signature refuses the whole, and nothing of it is left', async () => {
  await using signed = await signedRepository({ 'weights.dat': 'no pickle at all\n' });
  await renameSigned(signed.folder, 'weights.dat', 'weights.pt');
  signed.hub.hub.clearRequests();
  expect(await codeOf(signed.store.pull({ reference: HUB_MODEL }))).toBe('model_refused');
  expect(signed.intake.events()).toMatchObject([{ event: 'model.refused', reason: 'intake_format_refused', details: { findings: [{ file: 'weights.pt' }] } }]);
  expect(signed.hub.hub.requests.map(({ path }) => path).filter((path) => path.includes('/resolve/'))).toEqual([expect.stringContaining(SIGNATURE_FILE)]);
  expect(await namesIn(join(signed.hub.directory, 'blobs'))).toEqual([]);
  expect(await namesIn(join(signed.hub.directory, 'snapshots'))).toEqual([]);
});

test('a file named as a signature that is none decides nothing', async () => {
  await using hub = await makeHubStore({}, mlxModel({ ...OTHERS, [SIGNATURE_FILE]: '{"mediaType":"x"}' }));
  expect((await hub.store.pull({ reference: HUB_MODEL })).skipped?.toSorted()).toEqual(Object.keys(OTHERS).toSorted());
});
