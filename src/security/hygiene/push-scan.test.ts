import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createSecretScanner, findingByContent, findingByName } from '../index.ts';

const letters = (length: number): string => randomBytes(length).toString('base64url').replaceAll(/[-_]/g, 'x').slice(0, length);

describe('what must not leave the machine', () => {
  it('tells environment files, keys, caches, logs, databases and code by their names', () => {
    const cases: Readonly<Record<string, string | null>> = {
      '.env': 'environment_file',
      'sub/.env.local': 'environment_file',
      id_ed25519: 'key_file',
      'id_ed25519.pub': null,
      'tls/server.pem': 'key_file',
      '.ssh/config': 'key_file',
      '.netrc': 'key_file',
      '.cache/huggingface/x.json': 'cache',
      'train.log': 'log_file',
      'train.log.1': 'log_file',
      'wandb/run.json': 'log_file',
      'state.sqlite-wal': 'database',
      'pytorch_model.bin': 'format_refused',
      'modeling.py': 'format_refused',
      'model.safetensors': null,
      'tokenizer.json': null,
      'README.md': null,
      '.gitattributes': null,
      'special_tokens_map.json': null,
      'environment.json': null,
    };
    for (const [path, code] of Object.entries(cases)) expect([path, findingByName(path)?.code ?? null]).toEqual([path, code]);
  });

  it('tells archives, pickles, programs and databases by their first bytes', () => {
    const head = (text: string) => Buffer.from(text.padEnd(512, 'x'), 'latin1');
    for (const text of ['PK\x03\x04', '\x80\x04\x95\x20\0\0\0\0\0\0\0}\x94(\x8c\x01aK\x01u.', '\x1f\x8b', '\x7fELF', '#!/bin/sh', '\x93NUMPY']) {
      expect([text, findingByContent('notes.txt', head(text))?.code]).toEqual([text, 'format_refused']);
    }
    expect(findingByContent('data.json', head('SQLite format 3\0'))?.code).toBe('database');
    for (const text of ['{"a": 1}', 'GGUF\x03\0\0\0', '\x38\x01\0\0\0\0\0\0{"t":', '# A model', '\x89PNG\r\n\x1a\n']) {
      expect(findingByContent('x', head(text))).toBe(null);
    }
  });

  it('finds tokens and keys, across borders of pieces too, and lets vocabularies pass', () => {
    const scan = (text: string, piece = text.length, known: string[] = []) => {
      const scanner = createSecretScanner(known);
      for (let at = 0; at < text.length; at += piece) scanner.update(Buffer.from(text.slice(at, at + piece)));
      return scanner.found();
    };
    const secrets = [
      `hf_${letters(34)}9`,
      `sk-proj-${letters(40)}9`,
      `ghp_${letters(35)}9`,
      'AKIA' + 'Q7W3E8R2T9Y4U6ZX',
      `npm_${letters(35)}9`,
      '-----BEGIN EC PRIVATE KEY-----\nMHc',
    ];
    for (const secret of secrets) {
      expect([secret, scan(`the key is ${secret} here`)]).not.toEqual([secret, null]);
      expect([secret, scan(`${'text '.repeat(300)}${secret} more`, 37)]).not.toEqual([secret, null]);
    }
    expect(scan('my own words', 4, ['own words'])).toBe('the token that is in use');
    for (const fine of [
      '"sk------------------------------": 5',
      '"task-oriented-dialogue-systems": 1',
      'Bearer $HF_TOKEN',
      'hf_hub_download',
      '"Ġhf_": 3, "AKIA": 4',
    ]) {
      expect([fine, scan(fine)]).toEqual([fine, null]);
    }
  });
});
