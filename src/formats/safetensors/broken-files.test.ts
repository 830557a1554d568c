import { execFileSync } from 'node:child_process';
import { appendFile, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SAFETENSORS_CODES, type SafetensorsCode } from '../../contract/index.ts';
import { openSafetensors, readHeaderStably } from './open.ts';
import { parseSafetensorsHeader } from './parse-header.ts';
import { openShards } from './shards.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-broken-'));
});
afterAll(() => rm(directory, { recursive: true }));

/** A file around a header; `length` overrides the length that it states. */
function fileOf(header: string | Uint8Array, dataBytes = 4, length?: bigint): Buffer {
  const json = typeof header === 'string' ? Buffer.from(header) : Buffer.from(header);
  const bytes = Buffer.alloc(8 + json.length + dataBytes);
  bytes.writeBigUInt64LE(length ?? BigInt(json.length));
  json.copy(bytes, 8);
  return bytes;
}

const GOOD = '"dtype":"U8","shape":[4],"data_offsets":[0,4]';
const entry = (fields: string, name = 'a') => `{${JSON.stringify(name)}:{${fields}}}`;
const tensor = (name: string, begin: number, end: number) => `"${name}":{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]}`;

/** Faults that a file's bytes can show; each list has at least one file. */
const BROKEN: Partial<Record<SafetensorsCode, readonly Buffer[]>> = {
  st_file_too_short: [Buffer.alloc(0), Buffer.alloc(9, 1)],
  st_header_len_zero: [fileOf('', 4, 0n), fileOf('{', 4, 1n)],
  st_header_len_huge: [fileOf('{}', 4, 2n ** 53n), fileOf('{}', 4, 2n ** 64n - 1n)],
  st_header_too_big: [fileOf('{}', 4, 25_000_001n)],
  st_header_truncated: [fileOf(entry(GOOD), 0, 2000n)],
  st_header_start: [fileOf(`\ufeff${entry(GOOD)}`), fileOf(` ${entry(GOOD)}`), fileOf('[]')],
  st_header_padding: [fileOf(`${entry(GOOD)}\n`), fileOf(`${entry(GOOD)} \0 `), fileOf(`${entry(GOOD)}x`)],
  st_not_utf8: [fileOf(Buffer.from(entry(GOOD, 'a?b')).map((b) => (b === 0x3f ? 0xff : b))), fileOf(Buffer.from(`{"\xc0\x80":1}`, 'latin1'))],
  st_bad_json: ['{"a" 1}', "{'a':1}", '{"a":1,}', '{"a":nul}', '{"a":[1 2]}', '{"a\nb":1}', '{"\\x":1}', '{"\\u12":1}', '{,}', '{"a":}', '{"a":+1}'].map((h) =>
    fileOf(h),
  ),
  st_two_documents: [fileOf(`${entry(GOOD)}${entry(GOOD)}`), fileOf(`${entry(GOOD)} {}`)],
  st_duplicate_key: [
    fileOf(`{"a":{${GOOD}},"a":{${GOOD}}}`),
    fileOf(`{"a":{${GOOD}},"\\u0061":{${GOOD}}}`),
    fileOf(entry(`${GOOD},"dtype":"U8"`)),
    fileOf(entry(`${GOOD},"sh\\u0061pe":[4]`)),
    fileOf(`{"__metadata__":null,"__metadata__":null,"a":{${GOOD}}}`),
    fileOf(`{"__metadata__":{"k":"1","k":"2"},"a":{${GOOD}}}`),
    fileOf(entry(`${GOOD},"other":{"k":1,"k":2}`)),
  ],
  st_depth: [fileOf(entry('"dtype":"U8","shape":[[4]],"data_offsets":[0,4]')), fileOf(`{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`)],
  st_bad_string: [fileOf('{"\\ud800":1}'), fileOf('{"\\udc00\\ud800":1}'), fileOf('{"a\\u0000":1}'), fileOf('{"a\0b":1}')],
  st_number_form: ['4.0', '4e0', '-0', '04', '-', '4E2', '1-2', '4.'].map((n) => fileOf(entry(`"dtype":"U8","shape":[${n}],"data_offsets":[0,4]`))),
  st_tensor_count: [fileOf(`{${Array.from({ length: 200_001 }, (_, i) => `"${i}":{}`).join(',')}}`)],
  st_no_tensors: [fileOf('{}', 0), fileOf('{"__metadata__":{"format":"mlx"}}', 0)],
  st_metadata_type: [fileOf(`{"__metadata__":"mlx","a":{${GOOD}}}`), fileOf(`{"__metadata__":[],"a":{${GOOD}}}`)],
  st_metadata_value: [fileOf(`{"__metadata__":{"a":1},"a":{${GOOD}}}`), fileOf(`{"__metadata__":{"a":{}},"a":{${GOOD}}}`)],
  st_metadata_size: [
    fileOf(`{"__metadata__":{${Array.from({ length: 1025 }, (_, i) => `"${i}":""`).join(',')}},"a":{${GOOD}}}`),
    fileOf(`{"__metadata__":{"${'k'.repeat(257)}":""},"a":{${GOOD}}}`),
    fileOf(`{"__metadata__":{"k":"${'v'.repeat(4 * 2 ** 20)}"},"a":{${GOOD}}}`),
  ],
  st_name_empty: [fileOf(entry(GOOD, ''))],
  st_name_long: [fileOf(entry(GOOD, 'n'.repeat(513))), fileOf(entry(GOOD, 'é'.repeat(257)))],
  st_name_chars: ['a\u0007', 'a\u007f', 'a\u202eb', 'a\u2066b', 'a\u200bb', 'a\ufeffb', 'a\u00adb', 'a\u2028b'].map((name) => fileOf(entry(GOOD, name))),
  st_name_reserved: ['__proto__', 'constructor', 'prototype'].map((name) => fileOf(entry(GOOD, name))),
  st_entry_type: [fileOf('{"a":1}'), fileOf('{"a":[]}'), fileOf('{"a":null}')],
  st_entry_missing: [
    fileOf(entry('"dtype":"U8","shape":[4]')),
    fileOf(entry('"dtype":"U8","data_offsets":[0,4]')),
    fileOf(entry('"shape":[4],"data_offsets":[0,4]')),
    fileOf('{"a":{}}'),
  ],
  st_entry_unknown: [fileOf(entry(`${GOOD},"strides":[1]`))],
  st_dtype_type: [fileOf(entry('"dtype":8,"shape":[4],"data_offsets":[0,4]'))],
  st_dtype_unknown: ['u8', 'U128', '', 'toString', '__proto__'].map((d) => fileOf(entry(`"dtype":"${d}","shape":[4],"data_offsets":[0,4]`))),
  st_shape_type: [fileOf(entry('"dtype":"U8","shape":4,"data_offsets":[0,4]')), fileOf(entry('"dtype":"U8","shape":null,"data_offsets":[0,4]'))],
  st_rank: [fileOf(entry('"dtype":"U8","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,4]'))],
  st_dim_type: [fileOf(entry('"dtype":"U8","shape":["4"],"data_offsets":[0,4]')), fileOf(entry('"dtype":"U8","shape":[true],"data_offsets":[0,4]'))],
  st_dim_negative: [fileOf(entry('"dtype":"U8","shape":[-4],"data_offsets":[0,4]'))],
  st_dim_huge: [
    fileOf(entry(`"dtype":"U8","shape":[${2 ** 40 + 1}],"data_offsets":[0,4]`)),
    fileOf(entry(`"dtype":"U8","shape":[${'9'.repeat(400)}],"data_offsets":[0,4]`)),
  ],
  st_shape_overflow: [fileOf(entry(`"dtype":"U8","shape":[${2 ** 40},${2 ** 20}],"data_offsets":[0,4]`))],
  st_subbyte: [fileOf(entry('"dtype":"F4","shape":[3],"data_offsets":[0,2]'), 2), fileOf(entry('"dtype":"F6_E2M3","shape":[5],"data_offsets":[0,4]'))],
  st_offsets_arity: ['[]', '[0]', '[0,4,4]'].map((o) => fileOf(entry(`"dtype":"U8","shape":[4],"data_offsets":${o}`))),
  st_offsets_type: ['0', '{}', '["0",4]', '[-1,3]', '[null,4]'].map((o) => fileOf(entry(`"dtype":"U8","shape":[4],"data_offsets":${o}`))),
  st_offset_huge: [
    fileOf(entry(`"dtype":"U8","shape":[4],"data_offsets":[0,${2n ** 53n}]`)),
    fileOf(entry(`"dtype":"U8","shape":[4],"data_offsets":[${2n ** 64n},4]`)),
  ],
  st_offset_reversed: [fileOf(entry('"dtype":"U8","shape":[4],"data_offsets":[4,0]'))],
  st_size_mismatch: [fileOf(entry('"dtype":"U8","shape":[4],"data_offsets":[0,3]'), 3), fileOf(entry('"dtype":"U16","shape":[4],"data_offsets":[0,4]'))],
  st_past_eof: [fileOf(entry(GOOD), 3)],
  st_first_not_zero: [fileOf(`{${tensor('a', 1, 4)}}`)],
  st_gap: [fileOf(`{${tensor('a', 0, 2)},${tensor('b', 3, 4)}}`), fileOf(`{${tensor('b', 3, 4)},${tensor('a', 0, 2)}}`)],
  st_overlap: [fileOf(`{${tensor('a', 0, 3)},${tensor('b', 2, 4)}}`), fileOf(`{${tensor('a', 0, 4)},${tensor('b', 0, 4)}}`)],
  st_zero_size_inside: [fileOf(`{${tensor('a', 0, 4)},${tensor('b', 2, 2)}}`)],
  st_trailing_bytes: [fileOf(entry(GOOD), 5)],
};

/** Faults of several files, of reading, and of what the file system shows: in shards.test.ts, open.test.ts and below. */
const ELSEWHERE: readonly SafetensorsCode[] = [
  'st_not_regular',
  'st_file_changed',
  'st_index_name',
  'st_index_missing_file',
  'st_index_unlisted_file',
  'st_index_missing_tensor',
  'st_index_duplicate_tensor',
  'st_index_wrong_file',
  'st_read_failed',
  'st_tensor_unknown',
  'st_row_range',
];

const codeOf = (bytes: Uint8Array, size = bytes.length): string => {
  const result = parseSafetensorsHeader(bytes, size);
  return result.ok ? 'ok' : result.code;
};

describe('broken safetensors files', () => {
  it('[formats F2] [security G21] every code has a broken file here or among the checks of files and indexes', () => {
    expect([...Object.keys(BROKEN), ...ELSEWHERE].sort()).toEqual([...SAFETENSORS_CODES].sort());
    expect(codeOf(fileOf(entry(GOOD)))).toBe('ok');
  });

  it.each(Object.entries(BROKEN))('[formats F2] [security G21] %s is given for each of its broken files, from bytes and from disk', async (code, files) => {
    for (const [i, bytes] of files.entries()) {
      expect([i, codeOf(bytes)]).toEqual([i, code]);
      const path = join(directory, `${code}-${i}.safetensors`);
      await writeFile(path, bytes);
      await expect(openSafetensors(path)).rejects.toMatchObject({ code });
    }
  });

  it('[formats F2] what is not a regular file is refused without waiting for it', async () => {
    const pipe = join(directory, 'pipe.safetensors');
    execFileSync('mkfifo', [pipe]);
    for (const path of [pipe, directory, '/dev/null']) await expect(openSafetensors(path)).rejects.toMatchObject({ code: 'st_not_regular' });
    await expect(openSafetensors(join(directory, 'absent'))).rejects.toMatchObject({ code: 'file_system_error' });
  });

  it('[formats F2] a file that grows or is touched while it is parsed is refused', async () => {
    const path = join(directory, 'growing.safetensors');
    for (const change of [(): Promise<void> => appendFile(path, 'x'), async (): Promise<void> => (await open(path, 'r+')).utimes(1, 1)]) {
      await writeFile(path, fileOf(entry(GOOD)));
      await using handle = await open(path);
      let reads = 0;
      const read = (async (target: Uint8Array, offset: number, length: number, position: number) => {
        if (++reads === 2) await change();
        return handle.read(target, offset, length, position);
      }) as typeof handle.read;
      await expect(readHeaderStably({ stat: handle.stat.bind(handle), read }, path)).rejects.toMatchObject({ code: 'st_file_changed' });
    }
  });

  it('[formats F2] a file that is cut at any byte of its header or data is refused, with and without the size of the whole', () => {
    const whole = fileOf(`{"__metadata__":{"format":"mlx","\\u00e9":"\u{1f525}"},${tensor('b', 2, 4)},${tensor('a', 0, 2)}}  `);
    expect(codeOf(whole)).toBe('ok');
    for (let cut = 0; cut < whole.length; cut++) {
      expect(codeOf(whole.subarray(0, cut))).toMatch(/^st_/);
      if (cut < whole.length - 4) expect(codeOf(whole.subarray(0, cut), whole.length)).toMatch(/^st_/);
    }
  });

  it('[formats F2] a header that is cut at any byte and states its new length is refused', () => {
    const header = `{"__metadata__":{"format":"mlx","\\u00e9":"\u{1f525}"},${tensor('b', 2, 4)},${tensor('a', 0, 2)}}`;
    const bytes = Buffer.from(header);
    for (let cut = 0; cut < bytes.length; cut++) expect(codeOf(fileOf(bytes.subarray(0, cut)))).toMatch(/^st_/);
  });

  it('[formats F2] a fault of the JSON counts more than an earlier fault of the content', () => {
    expect(codeOf(fileOf(`{"":{"dtype":7},${tensor('a', 0, 4)},}`))).toBe('st_bad_json');
    expect(codeOf(fileOf(`{"":{"dtype":7},${tensor('a', 0, 4)},"a":1}`))).toBe('st_duplicate_key');
  });

  it('[formats F6] an index that is not strict JSON is refused with the code of its fault', async () => {
    const cases: [string | Buffer, SafetensorsCode][] = [
      ['{"weight_map":{"a":"model.safetensors","a":"model.safetensors"}}', 'st_duplicate_key'],
      ['{"weight_map":{"a":"model.safetensors"}', 'st_bad_json'],
      ['{"weight_map":{"a":"model.safetensors"}}{}', 'st_two_documents'],
      ['{"weight_map":{}}', 'st_index_missing_tensor'],
      ['{"metadata":{}}', 'st_index_missing_tensor'],
      [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'st_not_utf8'],
    ];
    const model = await mkdtemp(join(directory, 'index-'));
    await writeFile(join(model, 'model.safetensors'), fileOf(entry(GOOD)));
    for (const [text, code] of cases) {
      await writeFile(join(model, 'model.safetensors.index.json'), text);
      await expect(openShards(model)).rejects.toMatchObject({ code });
    }
    await writeFile(join(model, 'model.safetensors.index.json'), '{"metadata":{"total_size":4.0e0},"weight_map":{"a":"model.safetensors"}}');
    await using shards = await openShards(model);
    expect([...shards.tensors.keys()]).toEqual(['a']);
  });
});
