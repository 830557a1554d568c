import { createPublicKey, type KeyObject } from 'node:crypto';
import { lstat, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { type Config, readHubEnvironment } from '../config/index.ts';
import type { SignData, VerifyData } from '../contract/index.ts';
import { HearthError, systemError } from '../core/index.ts';
import {
  createKeySigner,
  createSecurityLog,
  createSigningKeys,
  createTokenSigner,
  createTrust,
  hintOf,
  type ModelSigner,
  parsePrivateKey,
  type RevokedEntry,
  readPrivateFile,
  readSignatureFile,
  signDirectory,
  type Trust,
  type TrustedSigner,
  type VerifyDirectoryOptions,
  verifyDirectory,
  withCertificates,
} from '../security/index.ts';
import { expandPath, locate } from '../store/index.ts';
import { forbidCoreDumps } from '../supervisor/index.ts';
import { resolvePlaces, storePlaces } from './create-hearth-store.ts';

/** Where names and paths are looked up. */
export interface SigningPlaces {
  readonly config: Config;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly userHome: string;
  readonly cwd: string;
}

interface Work {
  readonly model: string;
  readonly signal: AbortSignal;
  /** Bytes since the last call. */
  readonly onProgress?: (bytes: number) => void;
}

export interface SignRequest extends Work {
  readonly key:
    | { readonly kind: 'file'; readonly path: string }
    /** Of `hearth keys list`; 8 digits or more. */
    | { readonly kind: 'id'; readonly id: string }
    | { readonly kind: 'token'; readonly uri: string };
  /** PEM, leaf first. */
  readonly certificates?: string;
  /** Asked only where the key is under a passphrase, or on a token. */
  readonly secret: () => Promise<string>;
  readonly output?: string;
  readonly ignore: readonly string[];
}

export interface VerifyRequest extends Work {
  /** Public keys in PEM files. With these, roots or an identity the trust policy does not count. */
  readonly keys: readonly string[];
  readonly roots: readonly string[];
  readonly subject?: string;
  readonly identity?: string;
  readonly issuer?: string;
  readonly signature?: string;
  readonly trustedRoot?: string;
}

/** Signs a model with a key that this process, or a token, holds. */
export async function signModel(places: SigningPlaces, request: SignRequest): Promise<SignData> {
  const place = await placeOfModel(places, request.model);
  if (place.blobs.length > 0 && request.output === undefined) {
    throw new HearthError(
      'invalid_argument',
      `${request.model} is in the cache that other tools share; make it yours first with \`hearth clone\`, or name a file with --output.`,
    );
  }
  await using log = createSecurityLog({ home: places.home });
  log.assertWritable();
  await forbidCoreDumps();
  await using signer = await signerOf(places, request);
  const output = request.output === undefined ? {} : { output: expandPath(pathsOf(places), request.output) };
  const { signal, onProgress, ignore } = request;
  const signed = await signDirectory({ ...place, signer, ignorePaths: ignore, signal, ...output, ...(onProgress === undefined ? {} : { onProgress }) });
  const model = { id: place.modelId ?? basename(place.directory), rootDigest: signed.rootDigest };
  log.record({ event: 'model.sign', outcome: 'ok', model, details: { key: signed.hint, files: signed.files.length } });
  return {
    model: request.model,
    signature: signed.signaturePath,
    rootDigest: signed.rootDigest,
    key: signed.hint,
    publicKey: signer.publicKey,
    files: signed.files.length,
    bytes: bytesOf(signed.files),
  };
}

async function signerOf(places: SigningPlaces, { key, certificates, secret }: SignRequest): Promise<ModelSigner> {
  const signer =
    key.kind === 'token'
      ? await createTokenSigner(key.uri, secret)
      : createKeySigner(await parsePrivateKey(await readPrivateFile(keyFile(places, key)), secret));
  return certificates === undefined ? signer : withCertificates(signer, await readText(places, certificates));
}

function keyFile(places: SigningPlaces, key: Exclude<SignRequest['key'], { kind: 'token' }>): string {
  if (key.kind === 'file') return expandPath(pathsOf(places), key.path);
  return withTrust(places, (trust) => createSigningKeys({ home: places.home, trust }).privateKeyPath(key.id));
}

/** Checks a model against its signature. What is wrong with it is data. */
export async function verifyModel(places: SigningPlaces, request: VerifyRequest): Promise<VerifyData> {
  const place = await placeOfModel(places, request.model);
  const given = await givenSigners(places, request);
  const policy = given.length > 0 ? { trusted: given, revoked: [] } : policyOf(places);
  const report = await verifyDirectory({
    ...place,
    ...(await signatureOf(places, place.directory, request.signature)),
    ...policy,
    // Whoever names the key says by it whose model this is.
    modelId: given.length > 0 ? null : place.modelId,
    now: Date.now(),
    signal: request.signal,
    ...(request.onProgress === undefined ? {} : { onProgress: request.onProgress }),
    ...(request.trustedRoot === undefined ? {} : { trustedRoot: await readText(places, request.trustedRoot) }),
  });
  const { signer } = report;
  return {
    model: request.model,
    ok: report.ok,
    rootDigest: report.rootDigest,
    signer:
      signer === null
        ? null
        : { kind: signer.kind, key: signer.hint, subject: signer.subject ?? null, trustedBy: given.length > 0 ? 'command-line' : 'policy' },
    files: report.files.length,
    bytes: bytesOf(report.files),
    problems: report.problems,
    warnings: report.warnings,
  };
}

const bytesOf = (files: readonly { readonly identity: { readonly size: number } }[]): number => files.reduce((sum, { identity }) => sum + identity.size, 0);

type Policy = Pick<VerifyDirectoryOptions, 'trusted'> & { readonly revoked: readonly RevokedEntry[] };

const policyOf = (places: SigningPlaces): Policy =>
  withTrust(places, (trust) => {
    const { keys, revoked } = trust.policy();
    // The policy's rows say `undefined` where the others leave a field out.
    return { trusted: keys.filter(({ pending }) => pending === undefined) as readonly TrustedSigner[], revoked: revoked as readonly RevokedEntry[] };
  });

function withTrust<T>(places: SigningPlaces, use: (trust: Trust) => T): T {
  const trust = createTrust({ home: places.home, ...resolvedPlaces(places) });
  try {
    return use(trust);
  } finally {
    trust.close();
  }
}

async function givenSigners(places: SigningPlaces, { keys, roots, subject, identity, issuer }: VerifyRequest): Promise<TrustedSigner[]> {
  const base = { role: 'publisher', models: [] } as const;
  const signers: TrustedSigner[] = [];
  for (const path of keys) {
    const pem = await readText(places, path);
    signers.push({ ...base, kind: 'key', hint: hintOf(publicKeyOf(pem, path)), pem });
  }
  if (roots.length > 0) {
    const texts = await Promise.all(roots.map((path) => readText(places, path)));
    signers.push({ ...base, kind: 'cert', hint: '', roots: texts, ...(subject === undefined ? {} : { subject }) });
  }
  if (identity !== undefined && issuer !== undefined) signers.push({ ...base, kind: 'keyless', hint: '', identity, issuer });
  return signers;
}

function publicKeyOf(pem: string, path: string): KeyObject {
  if (pem.includes('PRIVATE KEY')) throw new HearthError('invalid_argument', `${path} is a private key; verifying takes the public half.`);
  try {
    return createPublicKey(pem);
  } catch (error) {
    throw new HearthError('invalid_argument', `${path} is no public key in PEM.`, { cause: error });
  }
}

async function signatureOf(
  places: SigningPlaces,
  directory: string,
  given: string | undefined,
): Promise<{ readonly signature?: Uint8Array; readonly signatureName?: string }> {
  const isFile = (await lstat(directory)).isFile();
  if (given === undefined && !isFile) return {};
  const path = given === undefined ? `${directory}.sig` : expandPath(pathsOf(places), given);
  const signature = await readSignatureFile(path);
  const inside = relative(directory, join(await realpath(dirname(path)), path.slice(path.lastIndexOf(sep) + 1)));
  return inside.startsWith('..') || isFile ? { signature } : { signature, signatureName: inside.split(sep).join('/') };
}

interface SignedPlace {
  readonly directory: string;
  readonly blobs: readonly string[];
  /** null: a path, which has no id. */
  readonly modelId: string | null;
}

/** Any directory may be named by its path, a model by its name. */
export async function placeOfModel(places: SigningPlaces, model: string): Promise<SignedPlace> {
  const paths = pathsOf(places);
  if (/^[./~]/.test(model)) {
    const directory = await realpath(expandPath(paths, model)).catch(() => null);
    if (directory !== null) return { directory, blobs: [], modelId: null };
  }
  const located = await locate(paths, model);
  if (located.kind === 'workspace') {
    const home = paths.workspaceHome;
    const modelId = home !== null && located.directory.startsWith(home + sep) ? located.directory.slice(home.length + 1) : null;
    return { directory: located.file === null ? located.directory : join(located.directory, located.file), blobs: [], modelId };
  }
  if (located.snapshot === null) throw new HearthError('snapshots_not_found', `${located.name} has no files here.`);
  return {
    directory: located.snapshot.directory,
    blobs: [join(located.repository.directory, 'blobs'), join(paths.cacheDirectory, 'blobs')],
    modelId: located.name,
  };
}

function resolvedPlaces({ config, env, userHome, cwd }: SigningPlaces) {
  return resolvePlaces(storePlaces(config, readHubEnvironment(env, userHome), userHome), cwd);
}

const pathsOf = (places: SigningPlaces) => ({ ...resolvedPlaces(places), userHome: places.userHome, workingDirectory: places.cwd });

async function readText(places: SigningPlaces, path: string): Promise<string> {
  try {
    return await readFile(expandPath(pathsOf(places), path), 'utf8');
  } catch (error) {
    throw systemError(error, path) ?? error;
  }
}
