import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');

interface Result {
  readonly target: string;
  readonly inputs: number;
  readonly said: Readonly<Record<string, number>>;
  readonly peakMb: number;
  readonly failures: readonly { readonly input: number; readonly why: string; readonly bytes: string }[];
}

/** `npm run fuzz`, as a user of the repository would start it; each reader in a process of its own whose heap is capped. */
function fuzz(targets: string, inputs: number, seed: number): readonly Result[] {
  const args = ['bench/fuzz.ts', '--json', '--target', targets, '--inputs', String(inputs), '--seed', String(seed)];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 });
  expect(stdout, stderr).not.toBe('');
  return JSON.parse(stdout) as Result[];
}

/** Faults: an exception that is no HearthError, or an input that takes a second. */
function expectSound(results: readonly Result[], inputs: number): void {
  for (const { target, inputs: read, failures, said } of results) {
    expect({ target, failures }).toEqual({ target, failures: [] });
    expect({ target, read }).toEqual({ target, read: inputs });
    expect(said['ok'], target).toBeGreaterThan(0);
  }
}

test('[security G23] changed files make neither of the strict parsers throw, take a second or hold more than 256 MB (the hour: docs/fuzzing.md)', () => {
  const results = fuzz('safetensors,gguf', 20_000, 7);
  expectSound(results, 10_000);
  for (const { target, said, peakMb } of results) {
    expect(Object.keys(said).length, target).toBeGreaterThan(20);
    expect(peakMb, target).toBeLessThan(256);
  }
});

test('changed settings, tokenizers, templates, signatures, requests and other content are read or refused, never more', () => {
  expectSound(fuzz('config,tokenizer,sentencepiece,template,signature,request,content', 2_800, 11), 400);
});
