import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERRORS } from '../../src/contract/index.ts';
import { generatedDocuments } from '../../tools/print-docs.ts';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

describe('generated documents', () => {
  it.each([...generatedDocuments().keys()])('[house H5] %s equals what is generated', (path) => {
    expect(read(path)).toBe(generatedDocuments().get(path));
  });

  it('[house H4] docs/errors.md and OpenAPI name the codes of the error table with the same statuses and exit codes', () => {
    const rows = [...read('docs/errors.md').matchAll(/^\| `(\w+)` \| (\d+) \| (\d+) \|/gm)].map((m) => [m[1], Number(m[2]), Number(m[3])]);
    const codes = Object.entries(ERRORS).map(([code, row]) => [code, row.status, row.exitCode]);
    expect(codes.length).toBeGreaterThan(50);
    expect(rows).toEqual(codes);
    const openApi = JSON.parse(read('docs/openapi.json')) as { 'x-error-codes': Record<string, { status: number; exitCode: number }> };
    expect(Object.entries(openApi['x-error-codes']).map(([code, row]) => [code, row.status, row.exitCode])).toEqual(codes);
  });
});
