import { HearthError } from '../../core/index.ts';
import { packageName } from './osv.ts';
import type { Lock, LockedPackage } from './types.ts';

/**
 * Reads a lock of Python packages: requirements with `==` (and hashes, as hearth's own locks have them), or the tables of pylock.toml, uv.lock and
 * poetry.lock. A package without an exact version cannot be checked: throws invalid_argument.
 */
export function readPythonLock(text: string, file: string): Lock {
  const packages = file.endsWith('.toml') || /^\[\[packages?\]\]\s*$/m.test(text) ? fromTables(text, file) : fromRequirements(text, file);
  return { file, packages, roots: [], hasGraph: false };
}

const REQUIREMENT = /^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\s*\[[^\]]*\])?\s*===?\s*([A-Za-z0-9.!+_-]+)\s*(?:;.*?)?((?:\s+--hash=\S+)*)\s*$/;

function fromRequirements(text: string, file: string): LockedPackage[] {
  // A line may go on after a backslash.
  const lines = text.replaceAll(/\\\r?\n/g, ' ').split(/\r?\n/);
  return lines.flatMap((line) => {
    const plain = line.replace(/(^|\s)#.*$/, '').trim();
    if (plain === '' || /^--?(index-url|extra-index-url|find-links|no-index|only-binary|require-hashes|i|f)\b/.test(plain)) return [];
    const match = REQUIREMENT.exec(plain);
    if (match === null) throw new HearthError('invalid_argument', `${file} names no exact version of a package here: ${plain.slice(0, 100)}`);
    const digest = /--hash=(sha256:[0-9a-f]{64})/.exec(match[3] ?? '')?.[1] ?? null;
    return [locked(match[1]!, match[2]!, digest)];
  });
}

function fromTables(text: string, file: string): LockedPackage[] {
  const packages: LockedPackage[] = [];
  // The keys of a package end at the next table; each of the three formats writes name and version as plain strings there.
  for (const block of text.split(/^\[\[packages?\]\]\s*$/m).slice(1)) {
    const own = block.split(/^\[/m, 1)[0]!;
    const name = /^name\s*=\s*["']([^"']+)["']/m.exec(own)?.[1];
    const version = /^version\s*=\s*["']([^"']+)["']/m.exec(own)?.[1];
    if (name === undefined) throw new HearthError('invalid_argument', `${file} holds a package without a name.`);
    // The project itself, and folders beside it, have no version or a place of their own.
    const local = /^source\s*=\s*\{\s*(editable|virtual|directory)\b/m.test(own);
    if (version === undefined && !local) throw new HearthError('invalid_argument', `${file} names no exact version of ${name}.`);
    if (version !== undefined && !local) packages.push(locked(name, version, firstDigest(block)));
  }
  return packages;
}

const firstDigest = (block: string): string | null => {
  const found = /sha256\s*[:=]\s*["']?([0-9a-f]{64})/.exec(block)?.[1];
  return found === undefined ? null : `sha256:${found}`;
};

function locked(name: string, version: string, integrity: string | null): LockedPackage {
  const spelled = packageName('PyPI', name);
  return { ecosystem: 'PyPI', name: spelled, version, integrity, licence: null, scope: 'required', path: spelled, dependsOn: [], installScript: false };
}
