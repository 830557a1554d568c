import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MODULES } from './import-table.ts';
import { checkLayers, importsOf, readSources } from './layers.ts';
import { withImportTable } from './print-table.ts';

const root = join(import.meta.dirname, '../../src');
const sources = readSources(root);
const table: Readonly<Record<string, readonly string[]>> = MODULES;

describe('import directions', () => {
  it('[house H1] every import of every source file follows the table', () => {
    expect(sources.length).toBeGreaterThan(40);
    expect(checkLayers(sources, table)).toEqual([]);
  });

  it('[house H1] the scan sees every file, and each folder of src is in the table', () => {
    const onDisk = readdirSync(root, { recursive: true }).filter((f) => /\.(ts|tsx)$/.test(String(f))).length;
    expect(sources.length).toBe(onDisk);
    for (const entry of readdirSync(root, { withFileTypes: true })) if (entry.isDirectory()) expect(Object.keys(table)).toContain(entry.name);
    for (const allowed of Object.values(table)) for (const other of allowed) expect(Object.keys(table)).toContain(other);
  });

  it.each([
    ['a value import', "import { createStore } from '../store/index.ts';"],
    ['a type import', "import type { Store } from '../store/index.ts';"],
    ['a re-export', "export * from '../store/index.ts';"],
    ['a dynamic import', "const store = await import('../store/index.ts');"],
    ['a type query', "type Store = import('../store/index.ts').Store;"],
    ['an import over several lines', "import {\n  a,\n  b,\n} from '../store/index.ts';"],
    ['an import for its effects', "import '../store/index.ts';"],
  ])('[house H1] a planted forbidden import is found: %s', (_, text) => {
    expect(importsOf(text)).toEqual(['../store/index.ts']);
    expect(checkLayers([{ path: 'formats/planted.ts', text }], table)).toMatchObject([{ rule: 'direction' }]);
  });

  it('[house H1] a folder that the table lacks is found', () => {
    expect(checkLayers([{ path: 'utils/planted.ts', text: '' }], table)).toMatchObject([{ rule: 'folder' }]);
  });

  it('[house H2] no import reaches past the index of another module, and a planted one is found', () => {
    expect(checkLayers([{ path: 'store/planted.ts', text: "import { x } from '../formats/mlx/pack.ts';" }], table)).toMatchObject([{ rule: 'door' }]);
  });

  it('[house H2] each module opens with what it owns, what it refuses and who calls it', () => {
    for (const entry of readdirSync(root, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const lines = readFileSync(join(root, entry.name, 'index.ts'), 'utf8').split('\n');
      expect([entry.name, lines[0]?.slice(0, 9), lines[1]?.slice(0, 12), lines[2]?.slice(0, 14)]).toEqual([
        entry.name,
        '// Owns: ',
        '// Refuses: ',
        '// Called by: ',
      ]);
    }
  });

  it('[house H3] contract, client and web hold no node: import, and a planted one is found', () => {
    expect(checkLayers([{ path: 'client/planted.ts', text: "import { readFile } from 'node:fs';" }], table)).toMatchObject([{ rule: 'node' }]);
  });
});

describe('sources', () => {
  /** Entry files talk to the process; programs that run in a process of their own may end it. */
  const entries = [/^cli\/main\.ts$/, /^app\/daemon\/main\.ts$/];
  const programs = [...entries, /^engines\/ember\/worker\//, /^ember\/ranks\//];
  const code = (text: string) =>
    text
      .replace(/\/\*[\s\S]*?\*\//g, '')
      .replace(/\/\/.*$/gm, '')
      .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''");

  it('[house H3] process.env, console and process.exit occur only in the entry files', () => {
    const own = sources.filter((f) => !/\.test\.ts$/.test(f.path) && !/^(ember|formats)\/kernels\//.test(f.path));
    const found = own.flatMap((f) => {
      const text = code(f.text);
      const names = [...text.matchAll(/\bprocess\.env\b|\bconsole\.\w+|\bprocess\.exit\b/g)].map((m) => m[0]);
      return names.filter((name) => !(name === 'process.exit' ? programs : entries).some((p) => p.test(f.path))).map((name) => `${f.path}: ${name}`);
    });
    expect(found).toEqual([]);
  });

  it('[house H7] no source file is longer than 400 lines, and file names are kebab-case', () => {
    expect(sources.filter((f) => f.text.trimEnd().split('\n').length > 400).map((f) => f.path)).toEqual([]);
    expect(sources.filter((f) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.d)?\.tsx?$/.test(basename(f.path))).map((f) => f.path)).toEqual([]);
  });
});

it('[house H1] ARCHITECTURE.md holds the table of import directions as it is checked', () => {
  const document = readFileSync(join(root, '../ARCHITECTURE.md'), 'utf8');
  expect(withImportTable(document)).toBe(document);
});
