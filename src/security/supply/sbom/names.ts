import type { LockedPackage } from '../types.ts';
import type { ModelEntry } from './inventory.ts';

export type Json = Readonly<Record<string, unknown>>;

export const datasetRef = (name: string): string => `dataset:${name}`;

/** Package URL of a locked package. */
export function packageUrl({ ecosystem, name, version }: Pick<LockedPackage, 'ecosystem' | 'name' | 'version'>): string {
  const path = name.split('/').map(encodeURIComponent).join('/');
  return `pkg:${ecosystem === 'npm' ? 'npm' : 'pypi'}/${path}@${encodeURIComponent(version)}`;
}

/** Package URL of a model: that of its hub where it is from one. */
export function modelUrl({ id, revision, hubName }: Pick<ModelEntry, 'id' | 'revision' | 'hubName'>): string {
  const path = (hubName ?? id.replace(/^\/+/, '')).split('/').map(encodeURIComponent).join('/');
  const version = revision === null ? '' : `@${revision.toLowerCase()}`;
  return `pkg:${hubName === null ? 'generic' : 'huggingface'}/${path}${version}`;
}

/** Hash of a lock entry in hex, with its algorithm's name as CycloneDX writes it; null where there is none that is known. */
export function hashOf(integrity: string | null): { readonly alg: 'SHA-256' | 'SHA-384' | 'SHA-512' | 'SHA-1'; readonly content: string } | null {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(integrity ?? '')?.[1];
  if (hex !== undefined) return { alg: 'SHA-256', content: hex };
  // Of several the strongest.
  for (const [prefix, alg] of [
    ['sha512', 'SHA-512'],
    ['sha384', 'SHA-384'],
    ['sha256', 'SHA-256'],
    ['sha1', 'SHA-1'],
  ] as const) {
    const found = new RegExp(`(?:^|\\s)${prefix}-([A-Za-z0-9+/=]+)`).exec(integrity ?? '')?.[1];
    if (found !== undefined) return { alg, content: Buffer.from(found, 'base64').toString('hex') };
  }
  return null;
}

/** What hubs write in lower case, as SPDX writes it. */
const SPELLED: Readonly<Record<string, string>> = {
  'apache-2.0': 'Apache-2.0',
  mit: 'MIT',
  isc: 'ISC',
  'bsd-2-clause': 'BSD-2-Clause',
  'bsd-3-clause': 'BSD-3-Clause',
  'mpl-2.0': 'MPL-2.0',
  'gpl-3.0': 'GPL-3.0-only',
  'agpl-3.0': 'AGPL-3.0-only',
  'lgpl-3.0': 'LGPL-3.0-only',
  'cc-by-4.0': 'CC-BY-4.0',
  'cc-by-sa-4.0': 'CC-BY-SA-4.0',
  'cc-by-nc-4.0': 'CC-BY-NC-4.0',
  'cc-by-nc-sa-4.0': 'CC-BY-NC-SA-4.0',
  'cc0-1.0': 'CC0-1.0',
  unlicense: 'Unlicense',
};
const KNOWN = new Set([
  ...Object.values(SPELLED),
  ...'0BSD Apache-2.0 BlueOak-1.0.0 CC-BY-3.0 GPL-2.0-only GPL-3.0-or-later LGPL-2.1-only LGPL-3.0-or-later PSF-2.0 Python-2.0 WTFPL Zlib BSL-1.0 Artistic-2.0 MIT-0 Unicode-3.0'.split(
    ' ',
  ),
]);

/** A licence as an SPDX expression; null where a part of it is none that SPDX knows. */
export function licenceExpression(text: string): string | null {
  const whole = SPELLED[text.toLowerCase()];
  if (whole !== undefined) return whole;
  const parts = text.replaceAll(/[()]/g, ' ').trim().split(/\s+/);
  return parts.every((part, i) => (i % 2 === 0 ? KNOWN.has(part) : part === 'AND' || part === 'OR')) && parts.length % 2 === 1 ? text : null;
}

/** Licences as CycloneDX has them. */
export const licences = (text: string | null): readonly Json[] => {
  if (text === null) return [];
  const expression = licenceExpression(text);
  return [expression === null ? { license: { name: text } } : { expression }];
};
