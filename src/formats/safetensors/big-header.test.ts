import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseSafetensorsHeader } from './parse-header.ts';

const TENSORS = 200_000;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-big-'));
});
afterAll(() => rm(directory, { recursive: true }));

function bigFile(headerBytes: number): Buffer {
  const entries = Array.from({ length: TENSORS }, (_, i) => {
    const name = `model.layers.${String(i).padStart(6, '0')}.self_attn.q_proj`.padEnd(64, 'x');
    return `"${name}":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`;
  });
  const bytes = Buffer.alloc(8 + headerBytes + TENSORS, ' ');
  bytes.writeBigUInt64LE(BigInt(headerBytes));
  bytes.write(`{${entries.join(',')}}`, 8, 'latin1');
  return bytes;
}

const CHILD = `
  const { parseSafetensorsHeader } = await import(process.argv[1]);
  const { closeSync, openSync, readSync } = await import('node:fs');
  const file = openSync(process.argv[2]);
  const bytes = new Uint8Array(25_000_008);
  readSync(file, bytes);
  closeSync(file);
  const result = parseSafetensorsHeader(bytes, ${25_000_008 + TENSORS});
  console.log(JSON.stringify({ code: result.code, tensors: result.header?.tensors.size, megabytes: process.resourceUsage().maxRSS / 1024 }));
`;

describe('the largest header', () => {
  it('[formats F3] 25,000,000 bytes with 200,000 tensors parse in a process of less than 256 MB within the hard stop of 2 s of processor time', async () => {
    const path = join(directory, 'big.safetensors');
    await writeFile(path, bigFile(25_000_000));
    const parser = new URL('./parse-header.ts', import.meta.url).href;
    // The limit counts processor time, so that a busy machine does not decide.
    const command = `ulimit -t 2; exec "$0" --input-type=module -e "$1" "$2" "$3"`;
    const output = execFileSync('/bin/bash', ['-c', command, process.execPath, CHILD, parser, path], { encoding: 'utf8' });
    const { tensors, megabytes } = JSON.parse(output);
    expect(tensors).toBe(TENSORS);
    expect(megabytes).toBeLessThan(256);
  });

  it('[formats F3] one byte more, or one tensor more, is refused', () => {
    const more = bigFile(25_000_001);
    expect(parseSafetensorsHeader(more, more.length)).toMatchObject({ ok: false, code: 'st_header_too_big' });
    const entries = Array.from({ length: TENSORS + 1 }, (_, i) => `"${i}":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`);
    const header = Buffer.from(`{${entries.join(',')}}`);
    const bytes = Buffer.alloc(8 + header.length);
    bytes.writeBigUInt64LE(BigInt(header.length));
    header.copy(bytes, 8);
    expect(parseSafetensorsHeader(bytes, bytes.length + TENSORS + 1)).toMatchObject({ ok: false, code: 'st_tensor_count' });
  });
});
