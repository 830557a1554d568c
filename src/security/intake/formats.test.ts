import { randomBytes } from 'node:crypto';
import { deflateRawSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type IntakeRun, startIntake } from '../../../test/support/intake-run.ts';
import { ggufHead, safetensorsBytes } from '../../../test/support/temp-store.ts';
import { sniffContent } from '../index.ts';

let run: IntakeRun;
beforeAll(async () => {
  run = await startIntake();
});
afterAll(() => run?.[Symbol.asyncDispose]());

const latin = (text: string): Buffer => Buffer.from(text, 'latin1');
const u32 = (value: number): Buffer => Buffer.from(new Uint32Array([value]).buffer);

/** Written by hand from the opcodes that Python's pickle module documents: each runs or names a function when it is read. */
const PICKLES: Readonly<Record<string, Buffer>> = {
  'protocol 0': latin("cos\nsystem\n(S'id'\ntR."),
  'protocol 0 with a line end after it': latin("cos\nsystem\n(S'id'\ntR.\n"),
  'protocol 0, an instance': latin("(S'id'\nios\nsystem\n."),
  'protocol 1': Buffer.concat([latin('cposix\nsystem\nq\x00(X'), u32(2), latin('idq\x01tq\x02Rq\x03.')]),
  'protocol 2': Buffer.concat([latin('\x80\x02cposix\nsystem\nq\x00X'), u32(2), latin('idq\x01\x85q\x02Rq\x03.')]),
  'protocol 3': latin('\x80\x03]q\x00(K\x01K\x02K\x03e.'),
  'protocol 4': latin('\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.'),
  'protocol 5': latin('\x80\x05\x95\x0b\0\0\0\0\0\0\0\x8c\x02id\x94\x8c\x01x\x94\x93\x94.'),
  'an old checkpoint of PyTorch': latin('\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.'),
};

/** A ZIP with one stored member, as np.savez and torch.save write them. */
function zip(name: string, content: Buffer): Buffer {
  const local = Buffer.concat([
    latin('PK\x03\x04\x14\0\0\0\0\0\0\0\0\0'),
    u32(0),
    u32(content.length),
    u32(content.length),
    Buffer.from([name.length, 0, 0, 0]),
    latin(name),
  ]);
  return Buffer.concat([local, content, latin('PK\x05\x06'), Buffer.alloc(18)]);
}
const ARCHIVES: Readonly<Record<string, Buffer>> = {
  'a ZIP': zip('archive/data.pkl', PICKLES['protocol 2']!),
  'an empty ZIP': Buffer.concat([latin('PK\x05\x06'), Buffer.alloc(18)]),
  'an HDF5 file': Buffer.concat([latin('\x89HDF\r\n\x1a\n'), Buffer.alloc(100)]),
  'a NumPy array': latin("\x93NUMPY\x01\0\x46\0{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"),
  'a tar': Buffer.concat([latin('data.pkl'), Buffer.alloc(249), latin('ustar\0'), Buffer.alloc(249)]),
  gzip: gzipSync('x'),
  zstd: zstdCompressSync(Buffer.from('x'.repeat(100))),
  bzip2: latin('BZh91AY&SY'),
  xz: latin('\xfd7zXZ\0\0\x04'),
  '7z': latin('7z\xbc\xaf\x27\x1c\0\x04'),
  ELF: latin('\x7fELF\x02\x01\x01'),
  'Mach-O': latin('\xcf\xfa\xed\xfe\x07\0\0\x01'),
  'a fat Mach-O, or a Java class': latin('\xca\xfe\xba\xbe\0\0\0\x02'),
  PE: latin('MZ\x90\0\x03\0\0\0'),
  'a script': latin('#!/bin/sh\nid\n'),
  WebAssembly: latin('\0asm\x01\0\0\0'),
};

describe('[security G19] formats that run code or hide files', () => {
  test.each(
    'bin pt pth pth.tar pkl pickle ckpt npy npz h5 hdf5 keras joblib nemo onnx msgpack pb tflite mlmodel py pyc pyd so dylib dll exe sh whl egg'.split(' '),
  )('a file named .%s is refused by its name, whatever it holds and however it is written', async (suffix) => {
    expect(await run.codeOf({ [`weights.${suffix}`]: '{}' })).toBe('intake_format_refused');
    expect(await run.codeOf({ [`deep/in/weights.${suffix.toUpperCase()}`]: '' })).toBe('intake_format_refused');
  });

  test.each(Object.entries({ ...PICKLES, ...ARCHIVES }))('%s is refused by its content under any name of an allowed kind', async (_, content) => {
    for (const name of [
      'model.safetensors',
      'model.gguf',
      'config.json',
      'tokenizer.json',
      'chat_template.jinja',
      'vocab.txt',
      'tokenizer.model',
      'README.md',
      'picture.png',
      'LICENSE',
    ]) {
      expect([name, (await run.inspect({ [name]: content })).findings.map(({ code, file }) => [code, file])]).toEqual([
        name,
        [['intake_format_refused', name]],
      ]);
    }
  });

  test('an engine is never given one either: a load of a model that holds it under an allowed name is refused, other files beside are not looked at', async () => {
    expect(await run.codeOf({ 'model.safetensors': PICKLES['protocol 4']! }, 'load')).toBe('intake_format_refused');
    expect(await run.codeOf({ 'pytorch_model.bin': PICKLES['protocol 2']!, 'config.json': '{}' }, 'load')).toBe('taken');
  });

  test('files of models are not taken for them', async () => {
    const model = {
      'config.json': '{"model_type": "llama"}',
      'model.safetensors': safetensorsBytes({ 'a.weight': [2, 2] }),
      'merges.txt': '#version: 0.2\nĠ t\n. .\n',
      'vocab.txt': '[PAD]\n[UNK]\n(\n)\nI\nN\n.\n',
      'cl100k.tiktoken': 'IQ== 0\nIg== 1\nIw== 2\n',
      'README.md': '(a model)\n.',
      LICENSE: 'Very short.\n',
      'chat_template.jinja': "{{ messages[0]['content'] }}",
    };
    expect((await run.inspect(model)).findings).toEqual([]);
    // Lengths of headers whose bytes look like the mark of a protocol.
    for (const length of [0x280, 0x380, 0x480, 0x580, 0x10280, 0x4b0280, 0x290280]) {
      const head = Buffer.concat([u32(length), u32(0), latin(`{"a.weight":${' '.repeat(600)}`)]);
      expect([length, sniffContent(head, false)]).toEqual([length, null]);
    }
    for (let round = 0; round < 2_000; round += 1) expect(sniffContent(Buffer.concat([latin('GGUF\x03\0\0\0'), randomBytes(200)]), false)).toBe(null);
    expect(sniffContent(deflateRawSync('x'), true)).toBe(null);
  });

  test('a header that the strict parsers refuse has their code', async () => {
    expect(await run.codeOf({ 'model.safetensors': latin('\x02\0\0\0\0\0\0\0{]') })).toBe('st_bad_json');
    expect(await run.codeOf({ 'model.safetensors': randomBytes(400) })).toMatch(/^st_/);
    expect(await run.codeOf({ 'model.gguf': ggufHead({ 'general.architecture': 'llama' }) })).toBe('gg_tensor_count');
    expect(await run.codeOf({ 'model.gguf': latin('{"a": 1}') })).toBe('gg_magic');
  });

  test('[security G19] more files than the limit, or more bytes than the source may bring, are refused before one is opened', async () => {
    const files = Array.from({ length: 10_001 }, (_, index) => ({ path: `${index}.json`, source: '/nowhere', sizeBytes: 1 }));
    const ask = async (count: number, maxBytes?: number) =>
      (await run.intake.inspect({ id: 'm', revision: null, purpose: 'pull', files: files.slice(0, count), ...(maxBytes === undefined ? {} : { maxBytes }) }))
        .findings;
    expect(await ask(10_001)).toMatchObject([{ stage: 'limits', code: 'intake_limits' }]);
    expect(await ask(100, 99)).toMatchObject([{ stage: 'limits', code: 'intake_limits' }]);
  });
});
