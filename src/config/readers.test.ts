import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CONFIG_KEYS } from './index.ts';

const src = join(import.meta.dirname, '..');
/** What app and cli read: only they see the configuration. `version` is read by the loader itself. */
const texts = ['app', 'cli'].flatMap((folder) =>
  readdirSync(join(src, folder), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(src, folder, name), 'utf8')),
);
const isRead = (key: string): boolean => texts.some((text) => new RegExp(`\\bconfig\\.${key.replaceAll('.', '\\.')}\\b`).test(text));

describe('keys of the schema', () => {
  it('[stack S24] every key is read by some module', () => {
    const keys = CONFIG_KEYS.map((key) => key.name).filter((name) => name !== 'version');
    expect(keys.length).toBeGreaterThan(15);
    expect(keys.filter((key) => !isRead(key))).toEqual([]);
    expect(isRead('serve.nobodyReadsThis')).toBe(false);
  });
});
