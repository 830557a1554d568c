import { createHash } from 'node:crypto';
import { hashFile } from '../hash-file.ts';

/** Digests of a blob that grows from its first byte to its last. */
export interface BlobDigest {
  /** Bytes that are in. */
  readonly bytes: number;
  update(chunk: Uint8Array): void;
  /** Takes the first bytes of a file; they must follow what is in. */
  updateFromFile(path: string, bytes: number, signal?: AbortSignal): Promise<void>;
  /** `matches`: the bytes are those that the blob's name promises; `sha256` is recorded of every file. Ends the digest. */
  finish(): { readonly matches: boolean; readonly sha256: string };
}

/** A name of 64 digits is the SHA-256 of the content; one of 40 is git's SHA-1, and the SHA-256 is taken beside it. */
export function createBlobDigest(digest: string, sizeBytes: number): BlobDigest {
  const sha256 = createHash('sha256');
  const sha1 = digest.length === 64 ? null : createHash('sha1').update(`blob ${sizeBytes}\0`);
  let bytes = 0;
  const update = (chunk: Uint8Array): void => {
    sha256.update(chunk);
    sha1?.update(chunk);
    bytes += chunk.length;
  };
  return {
    get bytes() {
      return bytes;
    },
    update,
    updateFromFile: async (path, until, signal) => {
      // A file that nothing is needed of may not be there.
      if (until > bytes) await hashFile({ update }, path, { start: bytes, end: until, signal });
    },
    finish: () => {
      const own = sha256.digest('hex');
      return { matches: bytes === sizeBytes && (sha1 === null ? own : sha1.digest('hex')) === digest, sha256: own };
    },
  };
}
