import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Checkpoints that must not load: made from a good one, each in a way that no reader may accept. */
export interface BrokenCheckpoint {
  readonly title: string;
  /** Changes the copy of the good checkpoint in this directory. */
  breakIt(directory: string): void;
}

/** Whole numbers from 0 to below n, the same in every run. */
function createRandom(seed: number): (n: number) => number {
  let state = (seed * 0x9e3779b1) >>> 0;
  return (n) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5) >>> 0;
    return Math.floor(((state ^ (state >>> 12)) >>> 0) / (2 ** 32 / n));
  };
}
type Random = ReturnType<typeof createRandom>;

const WEIGHTS = 'model.safetensors';
type Json = Record<string, unknown>;
type Entry = { dtype: string; shape: number[]; data_offsets: [number, number] };

const edit = <T>(directory: string, name: string, change: (value: T) => unknown): void => {
  const path = join(directory, name);
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')) as T)));
};
const config =
  (change: Json): BrokenCheckpoint['breakIt'] =>
  (directory) =>
    edit<Json>(directory, 'config.json', (own) => ({ ...own, ...change }));

/** Writes the weights with another header over the same data. */
function editHeader(directory: string, change: (header: Record<string, Entry>) => unknown): void {
  const path = join(directory, WEIGHTS);
  const bytes = readFileSync(path);
  const end = 8 + Number(bytes.readBigUInt64LE());
  const header = Buffer.from(JSON.stringify(change(JSON.parse(bytes.subarray(8, end).toString()) as Record<string, Entry>)));
  const padded = Buffer.concat([header, Buffer.alloc((8 - (header.length % 8)) % 8, 0x20)]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  writeFileSync(path, Buffer.concat([length, padded, bytes.subarray(end)]));
}
const nth = (header: Record<string, Entry>, n: number): string => {
  const names = Object.keys(header).filter((name) => name !== '__metadata__');
  return names[n % names.length]!;
};

export const HAND_BROKEN: readonly BrokenCheckpoint[] = [
  { title: 'no weights', breakIt: (directory) => rmSync(join(directory, WEIGHTS)) },
  { title: 'weights of no bytes', breakIt: (directory) => truncateSync(join(directory, WEIGHTS), 0) },
  { title: 'weights cut in the middle', breakIt: (directory) => truncateSync(join(directory, WEIGHTS), 30_000) },
  {
    title: 'a page of a web site instead of weights',
    breakIt: (directory) => writeFileSync(join(directory, WEIGHTS), '<!doctype html><title>404</title>'.repeat(40)),
  },
  {
    title: 'a pointer file instead of weights',
    breakIt: (directory) => writeFileSync(join(directory, WEIGHTS), 'version https://git-lfs.example/spec/v1\noid sha256:00\nsize 1\n'),
  },
  { title: 'no config', breakIt: (directory) => rmSync(join(directory, 'config.json')) },
  { title: 'a config that is a list', breakIt: (directory) => writeFileSync(join(directory, 'config.json'), '[]') },
  { title: 'a config nested a hundred thousand deep', breakIt: (directory) => writeFileSync(join(directory, 'config.json'), `{"a":${'['.repeat(100_000)}`) },
  { title: 'an architecture that nobody has', breakIt: config({ model_type: 'llama-of-tomorrow' }) },
  { title: 'a graph key that is not understood', breakIt: config({ attention_of_tomorrow: true }) },
  { title: 'no tokenizer', breakIt: (directory) => rmSync(join(directory, 'tokenizer.json')) },
  { title: 'a layer too many', breakIt: config({ num_hidden_layers: 3 }) },
  { title: 'a layer too few', breakIt: config({ num_hidden_layers: 1 }) },
  {
    title: 'two tensors in the same bytes',
    breakIt: (directory) =>
      editHeader(directory, (header) => ({ ...header, [nth(header, 1)]: { ...header[nth(header, 1)], data_offsets: header[nth(header, 0)]!.data_offsets } })),
  },
  {
    title: 'a tensor that nothing uses',
    breakIt: (directory) =>
      editHeader(directory, (header) => ({ ...Object.fromEntries(Object.entries(header).map(([name, entry]) => [name.replace('q_proj', 'z_proj'), entry])) })),
  },
];

/** Kinds of damage; each is one for every number that is drawn. */
const KINDS: readonly ((directory: string, random: Random) => void)[] = [
  // A file that ends early, or goes on.
  (directory, random) => truncateSync(join(directory, WEIGHTS), random(56_000)),
  (directory, random) =>
    writeFileSync(join(directory, WEIGHTS), Buffer.concat([readFileSync(join(directory, WEIGHTS)), Buffer.alloc(1 + random(5_000), random(256))])),
  // The length of the header.
  (directory, random) => {
    const bytes = readFileSync(join(directory, WEIGHTS));
    bytes[random(8)]! ^= 1 << random(8);
    writeFileSync(join(directory, WEIGHTS), bytes);
  },
  // Bytes of the header that are no text.
  (directory, random) => {
    const bytes = readFileSync(join(directory, WEIGHTS));
    const end = Number(bytes.readBigUInt64LE());
    for (let i = 0; i <= random(4); i++) bytes[8 + random(end)] = 0x80 + random(0x80);
    writeFileSync(join(directory, WEIGHTS), bytes);
  },
  // Numbers of the header.
  (directory, random) =>
    editHeader(directory, (header) => {
      const entry = header[nth(header, random(1_000))]!;
      const wrong = [-1, 2 ** 53, 1e308, 0.5, 2 ** 31, 3][random(6)]!;
      if (random(2) === 0) entry.shape[random(entry.shape.length)] = wrong;
      else entry.data_offsets[random(2)] = wrong;
      return header;
    }),
  // Types and names of the header.
  (directory, random) =>
    editHeader(directory, (header) => {
      const name = nth(header, random(1_000));
      const entry = header[name]!;
      if (random(2) === 0) return { ...header, [name]: { ...entry, dtype: ['U8', 'F8', 'I64', 'x', ''][random(5)]! } };
      const { [name]: moved, ...others } = header;
      return { ...others, [`${name}${'abc'[random(3)]}`]: moved };
    }),
  // Values of the config.
  (directory, random) => {
    const keys = [
      'hidden_size',
      'intermediate_size',
      'num_attention_heads',
      'num_hidden_layers',
      'num_key_value_heads',
      'rms_norm_eps',
      'vocab_size',
      'quantization',
    ];
    const values = [0, -1, 2 ** 40, 'x', null, [], {}, Number.MAX_SAFE_INTEGER, 1.5, true];
    config({ [keys[random(keys.length)]!]: values[random(values.length)], ...(random(3) === 0 ? { head_dim: values[random(values.length)] } : {}) })(directory);
  },
  // Text that is no JSON any more.
  (directory, random) => {
    const name = ['config.json', 'tokenizer.json', 'model.safetensors.index.json'][random(3)]!;
    const text = readFileSync(join(directory, name), 'utf8');
    writeFileSync(join(directory, name), text.slice(0, random(text.length - 2)));
  },
  // Parts of the tokenizer.
  (directory, random) =>
    edit<Json>(directory, 'tokenizer.json', (own) => {
      const model = own['model'] as Json;
      const wrong = [null, 7, 'x', { a: -1 }, [[]], [1], { '': 2 ** 40 }][random(7)];
      return random(2) === 0
        ? { ...own, model: { ...model, [['vocab', 'merges'][random(2)]!]: wrong } }
        : { ...own, [['model', 'added_tokens'][random(2)]!]: wrong };
    }),
  // The list of files.
  (directory, random) =>
    edit<Json>(directory, 'model.safetensors.index.json', (own) => {
      const map = { ...(own['weight_map'] as Record<string, unknown>) };
      const name = Object.keys(map)[random(Object.keys(map).length)]!;
      map[name] = ['../../../etc/passwd', '/etc/passwd', 'missing.safetensors', 7, null, ''][random(6)];
      return { ...own, weight_map: map };
    }),
];

/** The n-th of as many random ones as are wanted. */
export function fuzzed(n: number): BrokenCheckpoint {
  const kind = n % KINDS.length;
  return { title: `damage ${kind}, number ${n}`, breakIt: (directory) => KINDS[kind]!(directory, createRandom(n + 1)) };
}

export function copyCheckpoint(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) cpSync(join(from, name), join(to, name));
}
