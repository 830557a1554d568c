import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createKeySigner, hintOf, spkiPem, type TrustedSigner, type VerifyDirectoryOptions, verifyDirectory } from '../../src/security/signing/index.ts';

/** A directory with these files, gone at the end of the test. */
export function makeModel(files: Readonly<Record<string, string | Uint8Array>>): { readonly root: string; readonly directory: string } & Disposable {
  const root = mkdtempSync(join(tmpdir(), 'hearth-signing-'));
  const directory = join(root, 'model');
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
  return { root, directory, [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }) };
}

export const TINY = { 'config.json': '{"model_type":"llama"}', 'model.safetensors': 'weights', 'sub/tokenizer.json': '{}', 'README.md': 'A model.' };

export type CurveName = 'P-256' | 'P-384' | 'P-521';

export function makeKey(namedCurve: CurveName = 'P-256') {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
  return { privateKey, publicKey, signer: createKeySigner(privateKey), trusted: trustedKey(publicKey) };
}

export const trustedKey = (key: KeyObject, more: Partial<TrustedSigner> = {}): TrustedSigner => ({
  kind: 'key',
  role: 'publisher',
  models: [],
  hint: hintOf(key),
  pem: spkiPem(key),
  ...more,
});

export const trustedPem = (pem: string): TrustedSigner => trustedKey(createPublicKey(pem));

/** Verifies by path, now. */
export const verify = (directory: string, trusted: readonly TrustedSigner[], more: Partial<VerifyDirectoryOptions> = {}) =>
  verifyDirectory({ directory, trusted, modelId: null, now: Date.now(), ...more });

export const codesOf = (report: { readonly problems: readonly { readonly code: string }[] }): string[] =>
  [...new Set(report.problems.map(({ code }) => code))].sort();
