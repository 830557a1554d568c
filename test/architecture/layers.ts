import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative, sep } from 'node:path';

export interface SourceFile {
  /** Path below src/, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export interface Violation {
  readonly file: string;
  readonly rule: 'folder' | 'direction' | 'door' | 'node' | 'only';
  readonly message: string;
}

export function readSources(root: string): SourceFile[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|tsx)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path: relative(root, path).split(sep).join('/'), text: readFileSync(path, 'utf8') }));
}

/** Every import of a file: static, type-only, re-export, dynamic and `import('…')` in types. */
export function importsOf(text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const found = [...code.matchAll(/(?:^|[;\n}])\s*(?:import|export)\b(?:[^'"`;]*?\bfrom)?\s*(['"])([^'"\n]+)\1/g)].map((m) => m[2]!);
  found.push(...[...code.matchAll(/\bimport\s*\(\s*(['"`])([^'"`\n]+)\1/g)].map((m) => m[2]!));
  return found;
}

/** Kernels are AssemblyScript: another compiler, with imports of its own. */
const isKernel = (path: string) => /^(ember|formats)\/kernels\//.test(path);
/** Further doors: files that load no schema library, for what must start fast. */
const DOORS = new Set(['contract/errors.ts', 'config/environment.ts']);
const NO_NODE = new Set(['contract', 'client', 'web']);
/** What runs alone in a child process sees less than the rest of its module (docs/spec/house.md rule 7). */
const WORKER = {
  folder: 'engines/ember/worker/',
  modules: new Set(['core', 'contract', 'formats', 'ember']),
  own: /^engines\/(ember\/worker\/|protocol\/|text\/|model-text\/)/,
};

/** Checks all sources against the table of import directions. Tests may look anywhere inside src/. */
export function checkLayers(files: readonly SourceFile[], table: Readonly<Record<string, readonly string[]>>): Violation[] {
  const violations: Violation[] = [];
  for (const file of files) {
    if (isKernel(file.path)) continue;
    const module = file.path.split('/')[0]!;
    const allowed = table[module];
    if (!allowed) {
      violations.push({ file: file.path, rule: 'folder', message: `src/${module} is not in the table of import directions` });
      continue;
    }
    const isTest = /\.test\.ts$/.test(file.path);
    for (const specifier of importsOf(file.text)) {
      if (!specifier.startsWith('.')) {
        if (NO_NODE.has(module) && !isTest && specifier.startsWith('node:'))
          violations.push({ file: file.path, rule: 'node', message: `${module} imports ${specifier}` });
        if (module === 'contract' && !isTest && !/^(zod|node:)/.test(specifier))
          violations.push({ file: file.path, rule: 'only', message: `contract imports ${specifier}; zod is its only package` });
        continue;
      }
      const target = normalize(join(dirname(file.path), specifier))
        .split(sep)
        .join('/');
      if (target.startsWith('..')) continue;
      const other = target.split('/')[0]!;
      if (isTest) continue;
      if (other === module) {
        if (file.path.startsWith(WORKER.folder) && !WORKER.own.test(target))
          violations.push({ file: file.path, rule: 'direction', message: `the worker program imports ${target}` });
        continue;
      }
      if (!allowed.includes(other)) violations.push({ file: file.path, rule: 'direction', message: `${module} may not import ${other} (${specifier})` });
      else if (target !== `${other}/index.ts` && !DOORS.has(target))
        violations.push({ file: file.path, rule: 'door', message: `${specifier} reaches past src/${other}/index.ts` });
      if (file.path.startsWith(WORKER.folder) && !WORKER.modules.has(other))
        violations.push({ file: file.path, rule: 'direction', message: `the worker program imports ${other}` });
    }
  }
  return violations;
}
