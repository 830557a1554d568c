import { readSignature } from './read-signature.ts';
import { readStatement } from './statement.ts';

/**
 * The paths that a signature file lists, `/` between their parts. Nothing of it was checked: it says which files the signature would be about, not
 * that they are sound. Empty where the file is no signature that could be compared with a directory.
 */
export function signedPaths(bundle: Uint8Array): readonly string[] {
  const { signature } = readSignature(bundle);
  const manifest = signature === null ? null : readStatement(signature.payload).manifest;
  return manifest === null ? [] : [...manifest.files.keys()];
}
