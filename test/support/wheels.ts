import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';

export interface TinyPackage {
  readonly name: string;
  readonly version: string;
  /** Paths in the wheel, and their text. */
  readonly files: Readonly<Record<string, string>>;
}

/** Writes a wheel and gives its line for a lock. */
export function writeWheel(folder: string, { name, version, files }: TinyPackage): string {
  const module = name.replaceAll('-', '_');
  const info = `${module}-${version}.dist-info`;
  const all: Record<string, string> = {
    ...files,
    [`${info}/METADATA`]: `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n`,
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
  };
  const record = Object.entries(all).map(
    ([path, text]) => `${path},sha256=${createHash('sha256').update(text).digest('base64url')},${Buffer.byteLength(text)}`,
  );
  const bytes = zip({ ...all, [`${info}/RECORD`]: `${[...record, `${info}/RECORD,,`].join('\n')}\n` });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${module}-${version}-py3-none-any.whl`), bytes);
  return `${name}==${version} --hash=sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The packages that the import check asks for, without their work. */
export const TINY_PACKAGES: readonly TinyPackage[] = [
  { name: 'mlx', version: '0.0.1', files: { 'mlx/__init__.py': '', 'mlx/core.py': 'value = 1\n' } },
  { name: 'mlx-lm', version: '0.0.2', files: { 'mlx_lm/__init__.py': 'import mlx.core\n' } },
];

/** Stored, not compressed. */
export function zip(files: Readonly<Record<string, string>>): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [path, text] of Object.entries(files)) {
    const name = Buffer.from(path);
    const data = Buffer.from(text);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(name.length, 22);
    parts.push(Buffer.from('PK\x03\x04'), common, name, data);
    const central = Buffer.alloc(42);
    central.writeUInt16LE(20, 0);
    common.copy(central, 2, 0, 26);
    central.writeUInt32LE((0o100644 << 16) >>> 0, 34);
    central.writeUInt32LE(offset, 38);
    directory.push(Buffer.from('PK\x01\x02'), central, name);
    offset += 30 + name.length + data.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(Object.keys(files).length, 4);
  end.writeUInt16LE(Object.keys(files).length, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...parts, central, Buffer.from('PK\x05\x06'), end]);
}
