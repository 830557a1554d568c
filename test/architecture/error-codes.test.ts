import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERRORS, isErrorCode } from '../../src/contract/index.ts';
import { readSources } from './layers.ts';

describe('error table', () => {
  it('[house H4] no code appears in the sources that the table lacks', () => {
    const used = new Map<string, string>();
    for (const file of readSources(join(import.meta.dirname, '../../src'))) {
      for (const m of file.text.matchAll(/new HearthError\(\s*'([^']+)'/g)) used.set(m[1]!, file.path);
    }
    expect(used.size).toBeGreaterThan(10);
    expect([...used].filter(([code]) => !isErrorCode(code))).toEqual([]);
  });

  it('[house H4] every row has a status, an exit code and a hint that ends as a sentence', () => {
    for (const [code, row] of Object.entries(ERRORS)) {
      expect(code).toMatch(/^[a-z][a-z0-9_]*$/);
      expect(row.status).toBeGreaterThanOrEqual(400);
      expect([1, 2, 3, 130, 143]).toContain(row.exitCode);
      expect(row.hint).toMatch(/[.)`]$/);
    }
  });
});
