import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HearthError, makePrivateDirectory, writeFileAtomic } from '../../core/index.ts';
import type { InstallKey } from './install-key.ts';
import { BUILT_IN_POLICY, type TrustPolicy, trustPolicy } from './policy.ts';

/** A policy as it is in force. `hash` names its bytes: a verdict is that of one policy. */
export interface SealedPolicy {
  readonly policy: TrustPolicy;
  readonly hash: string;
  /** No file: the built-in one. */
  readonly builtIn: boolean;
}

export interface PolicyFile {
  /** Read again only when a file changed. Throws trust_tampered for another owner, a loose mode, a link, a wrong seal, a policy that breaks its form. */
  read(): SealedPolicy;
  /** What is written there, whatever its seal says; for `trust seal` and `trust list`. Throws trust_tampered where it is no policy at all. */
  readUnsealed(): TrustPolicy;
  write(policy: TrustPolicy): Promise<void>;
  /** Takes a deliberate edit: the file as it is gets its seal and its mode. */
  seal(): Promise<TrustPolicy>;
}

const MAX_BYTES = 16 * 1024 * 1024;
const BUILT_IN: SealedPolicy = { policy: BUILT_IN_POLICY, hash: 'built-in', builtIn: true };

/** `policy.json` with `policy.mac`, the HMAC-SHA-256 of its bytes under the install key. */
export function createPolicyFile(directory: string, installKey: InstallKey): PolicyFile {
  const path = join(directory, 'policy.json');
  const macPath = join(directory, 'policy.mac');
  let known: { readonly stamp: string; readonly sealed: SealedPolicy } | null = null;

  function stamp(): string {
    return [path, macPath]
      .map((file) => {
        const facts = lstatSync(file, { bigint: true, throwIfNoEntry: false });
        return facts === undefined ? '-' : [facts.dev, facts.ino, facts.size, facts.mtimeNs, facts.ctimeNs].join(':');
      })
      .join(' ');
  }

  function read(): SealedPolicy {
    const now = stamp();
    if (known?.stamp === now) return known.sealed;
    const sealed = readSealed();
    known = { stamp: now, sealed };
    return sealed;
  }

  function readSealed(): SealedPolicy {
    const bytes = readPrivate(path);
    const mac = readPrivate(macPath);
    if (bytes === null && mac === null) return BUILT_IN;
    if (bytes === null) throw tampered(`${path} is missing, but its seal is there.`);
    const key = installKey.read();
    if (key === null) throw tampered(`${path} is there, but the key that sealed it (install.key) is missing.`);
    const expected = macOf(key, bytes);
    const found = Buffer.from(mac?.toString('latin1').trim() ?? '', 'hex');
    if (found.length !== expected.length || !timingSafeEqual(found, expected))
      throw tampered(`${path} was changed by something else than hearth: its seal does not fit.`);
    return { policy: parse(path, bytes), hash: createHash('sha256').update(bytes).digest('hex'), builtIn: false };
  }

  async function store(bytes: Buffer): Promise<void> {
    const key = await installKey.obtain();
    await makePrivateDirectory(directory);
    // A crash between the two leaves a policy whose seal does not fit: refused, never half believed.
    await writeFileAtomic(path, bytes);
    await writeFileAtomic(macPath, `${macOf(key, bytes).toString('hex')}\n`);
    known = null;
  }

  return {
    read,
    readUnsealed() {
      const bytes = readPrivate(path, { loose: true });
      return bytes === null ? BUILT_IN_POLICY : parse(path, bytes);
    },
    write: (policy) => store(Buffer.from(`${JSON.stringify(trustPolicy.parse(policy), null, 2)}\n`)),
    async seal() {
      const bytes = readPrivate(path, { loose: true });
      if (bytes === null) throw new HearthError('invalid_argument', `There is no ${path}: the built-in policy holds and needs no seal.`);
      const policy = parse(path, bytes);
      await store(bytes);
      return policy;
    },
  };
}

const macOf = (key: Buffer, bytes: Buffer): Buffer => createHmac('sha256', key).update(bytes).digest();

const tampered = (what: string): HearthError =>
  new HearthError('trust_tampered', `${what} If you changed it yourself: \`hearth trust seal\` accepts it as it is.`);

/** null: no such file. The mode is not mended in silence: who could write here before is not known. */
function readPrivate(path: string, { loose = false } = {}): Buffer | null {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    throw tampered(`${path} is a link, or cannot be opened (${code}).`);
  }
  try {
    const facts = fstatSync(descriptor);
    const uid = process.geteuid?.();
    if (!facts.isFile() || facts.nlink !== 1) throw tampered(`${path} is no regular file, or has a second name.`);
    if (uid !== undefined && facts.uid !== uid) throw new HearthError('trust_tampered', `${path} belongs to another user (uid ${facts.uid}).`);
    if (!loose && (facts.mode & 0o077) !== 0) throw tampered(`Others than its owner may read or write ${path} (mode ${(facts.mode & 0o777).toString(8)}).`);
    if (facts.size > MAX_BYTES) throw tampered(`${path} has more than 16 MiB.`);
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function parse(path: string, bytes: Buffer): TrustPolicy {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new HearthError('trust_tampered', `${path} is no JSON document; mend it, then \`hearth trust seal\`.`, { cause });
  }
  const parsed = trustPolicy.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.slice(0, 5).map(({ path: at, message }) => `${at.join('.') || 'the file'}: ${message}`);
  throw new HearthError('trust_tampered', `${path} is no trust policy (${problems.join('; ')}); mend it, then \`hearth trust seal\`.`);
}
