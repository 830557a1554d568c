import { readdirSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryDirectory } from '../../test/support/engine-run.ts';
import { createFakeEngine } from '../../test/support/fake-engine.ts';
import { createEmberEngine } from './index.ts';

const root = join(import.meta.dirname, '..');

test('[engines E2] no file outside engines/ember imports ember, and a second engine needs nothing but its own folder', () => {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => /\.tsx?$/.test(file));
  const importers = files.filter((file) => {
    if (file.startsWith('ember/') || file.startsWith('engines/ember/')) return false;
    const imports = [...readFileSync(join(root, file), 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) =>
      normalize(join(file, '..', match[1]!)),
    );
    return imports.some((path) => path.startsWith('ember/') || (path.startsWith('engines/ember/') && file !== 'engines/index.ts'));
  });
  expect(files.length).toBeGreaterThan(100);
  expect(importers.filter((file) => file !== 'engines/index.ts')).toEqual([]);
  using directory = temporaryDirectory();
  const members = (engine: object): string[] => Object.keys(engine).sort();
  expect(members(createFakeEngine())).toEqual(members(createEmberEngine({ convertedDirectory: directory.path })));
});
