import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type FeatureVerdict, type ModelFacts, silentLogger, systemClock } from '../../src/core/index.ts';
import { createStore, freeSpaceOf, type HubOptions, type Store, type StoreOptions, sleepFor } from '../../src/store/index.ts';

/** A store over a temporary directory, and models written into it. Nothing outside the directory is touched. */
export interface TempStore extends AsyncDisposable {
  readonly root: string;
  readonly cacheDirectory: string;
  readonly workspaceHome: string;
  /** Folder for a fake hub. */
  readonly hubFolder: string;
  readonly options: StoreOptions;
  readonly store: Store;
  /** Another store over the same directories. */
  with(over: StoreOverrides): Store;
}

export type StoreOverrides = Partial<Omit<StoreOptions, 'hub'>> & { readonly hub?: Partial<HubOptions> };

/** Nobody listens there, and it is none of the ports that fetch refuses by itself. */
export const CLOSED_ENDPOINT = 'http://127.0.0.1:2';

/** An engine that runs `llama` and no other type. */
export function llamaProbe(facts: ModelFacts): Readonly<Record<string, FeatureVerdict>> {
  const ok = facts.architecture === 'llama';
  const verdict = { ok, engine: ok ? 'fake' : null, reason: ok ? null : `model_type '${facts.architecture}' not supported by any installed engine` };
  return { text: verdict, chat: verdict };
}

export async function makeTempStore(over: StoreOverrides = {}): Promise<TempStore> {
  const root = await mkdtemp(join(tmpdir(), 'hearth_test_'));
  const hubFolder = join(root, 'repositories');
  const workspaceHome = join(root, 'workspaces');
  await mkdir(hubFolder);
  await mkdir(workspaceHome);
  const base: StoreOptions = {
    cacheDirectory: join(root, 'hub'),
    workspaceHome,
    stateDirectory: join(root, 'state'),
    userHome: join(root, 'user'),
    workingDirectory: root,
    runtimeProbe: llamaProbe,
    hub: { endpoint: CLOSED_ENDPOINT, token: null, offline: false, timeoutMs: 10_000, cdnHosts: ['127.0.0.1'], fetch },
    logger: silentLogger,
    clock: systemClock,
    freeSpace: freeSpaceOf,
    // Waits between tries are skipped; polling for a lock still gives way.
    sleep: (ms, signal) => sleepFor(Math.min(ms, 20), signal),
    commandRunner: null,
  };
  const merged = (extra: StoreOverrides): StoreOptions => ({ ...base, ...over, ...extra, hub: { ...base.hub, ...over.hub, ...extra.hub } });
  const options = merged({});
  return {
    root,
    cacheDirectory: base.cacheDirectory,
    workspaceHome,
    hubFolder,
    options,
    store: createStore(options),
    with: (extra) => createStore(merged(extra)),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

export type ModelFiles = Readonly<Record<string, string | Buffer>>;

/** A small model that health accepts and `llamaProbe` runs. */
export const mlxModel = (extra: ModelFiles = {}): ModelFiles => ({
  'config.json': JSON.stringify({ model_type: 'llama', quantization: { group_size: 64, bits: 4 }, max_position_embeddings: 2048, hidden_size: 64 }),
  'model.safetensors': 'weights',
  'tokenizer.json': '{}',
  'tokenizer_config.json': JSON.stringify({ chat_template: '{{ messages }}' }),
  ...extra,
});

export async function writeFiles(directory: string, files: ModelFiles): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
}

/** Writes a snapshot as other tools do: blobs, relative links, a ref. Gives the snapshot's directory. */
export async function cacheModel(
  cacheDirectory: string,
  name: string,
  files: ModelFiles,
  options: { readonly commit?: string; readonly ref?: string | null } = {},
): Promise<string> {
  const commit = options.commit ?? 'a'.repeat(40);
  const ref = options.ref === undefined ? 'main' : options.ref;
  const model = join(cacheDirectory, `models--${name.replaceAll('/', '--')}`);
  const snapshot = join(model, 'snapshots', commit);
  await mkdir(join(model, 'blobs'), { recursive: true });
  await mkdir(snapshot, { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    const digest = createHash('sha256').update(content).digest('hex');
    await writeFile(join(model, 'blobs', digest), content);
    await mkdir(dirname(join(snapshot, path)), { recursive: true });
    await symlink(`${'../'.repeat(path.split('/').length + 1)}blobs/${digest}`, join(snapshot, path));
  }
  if (ref !== null) await writeFiles(join(model, 'refs'), { [ref]: commit });
  return snapshot;
}

/** A safetensors file of F16 zeros, by name and shape. */
export function safetensorsBytes(tensors: Readonly<Record<string, readonly number[]>>): Buffer {
  let offset = 0;
  const entries = Object.entries(tensors).map(([name, shape]) => {
    const begin = offset;
    offset += shape.reduce((product, dimension) => product * dimension, 2);
    return [name, { dtype: 'F16', shape, data_offsets: [begin, offset] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(offset)]);
}

/** A sound safetensors file of exactly that many bytes, most of them random. */
export function randomSafetensors(sizeBytes: number): Buffer {
  const headerBytes = 128;
  const count = sizeBytes - 8 - headerBytes;
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(headerBytes));
  const header = JSON.stringify({ weights: { dtype: 'U8', shape: [count], data_offsets: [0, count] } }).padEnd(headerBytes);
  return Buffer.concat([length, Buffer.from(header), randomBytes(count)]);
}

/** A GGUF file of metadata alone: strings and u32 numbers. */
export function ggufHead(metadata: Readonly<Record<string, string | number>>): Buffer {
  const u32 = (value: number): Buffer => {
    const buffer = Buffer.alloc(4);
    buffer.writeUInt32LE(value);
    return buffer;
  };
  const u64 = (value: number): Buffer => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigUInt64LE(BigInt(value));
    return buffer;
  };
  const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
  const pairs = Object.entries(metadata).map(([key, value]) =>
    typeof value === 'string' ? Buffer.concat([text(key), u32(8), text(value)]) : Buffer.concat([text(key), u32(4), u32(value)]),
  );
  return Buffer.concat([Buffer.from('GGUF'), u32(3), u64(0), u64(pairs.length), ...pairs]);
}
