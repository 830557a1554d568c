import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '../../core/index.ts';
import type { IntakeReport, IntakeRequest } from '../intake/intake-types.ts';
import { hashFiles, rootDigestOf } from '../signing/hash-files.ts';
import {
  type HashedFile,
  type ModelFile,
  readSignature,
  readSignatureFile,
  SIGNATURE_FILE,
  type SignatureProblem,
  type TrustedSigner,
  verifyDirectory,
  walkModel,
} from '../signing/index.ts';
import { type ContentRecord, judgeContent } from './content-record.ts';
import { fingerprintOf, isReadable, listModelFiles, othersMayWrite, settle, tupleOf } from './model-files.ts';
import { type Place, placeOf, type TrustPlaces } from './place.ts';
import { keyState, ruleFor, type SourceRule, type TrustPolicy } from './policy.ts';
import type { SealedPolicy } from './policy-file.ts';
import type { StateDatabase } from './state-database.ts';
import type { AdmitRequest } from './types.ts';
import type { CleanedCopy } from './view-directory.ts';

/** Files are hashed anew when their hashes are this old (docs/spec/security.md §6). */
export const REHASH_MS = 7 * 86_400_000;

export interface JudgeOptions {
  readonly places: TrustPlaces;
  readonly state: StateDatabase;
  readonly clock: Clock;
  /** The gates that a model passes before an engine gets its files; absent: none. */
  readonly intake?: (request: IntakeRequest) => Promise<IntakeReport>;
}

/** What is known of one model at this moment; nothing was written yet. */
export interface Judged {
  readonly place: Place;
  readonly rule: SourceRule;
  /** The files of a view. */
  readonly files: readonly ModelFile[];
  readonly cleaned: readonly CleanedCopy[];
  /** Chat templates that the gates found. */
  readonly templates: readonly { readonly file: string; readonly sha256: string }[];
  /** Empty where nothing was hashed. */
  readonly hashed: readonly HashedFile[];
  readonly rootDigest: string | null;
  readonly signer: string | null;
  readonly problems: readonly SignatureProblem[];
  readonly firstUse: boolean;
  readonly record: ContentRecord | null;
  /** All of it is that of an earlier verdict. */
  readonly cached: boolean;
  readonly fingerprint: string;
  readonly hashedAt: number;
  /** False: somebody else may write the files, so that the next load hashes them again. */
  readonly keep: boolean;
}

/** A verdict as it is kept. */
export interface KeptVerdict {
  readonly fingerprint: string;
  readonly decidedBy: string;
  readonly problems: readonly SignatureProblem[];
  readonly rootDigest: string | null;
  readonly signer: string | null;
  readonly cleaned: readonly { readonly path: string; readonly sha256: string }[];
  readonly templates: Judged['templates'];
  readonly hashedAt: number;
}

interface KnownFile {
  readonly tuple: string;
  readonly sha256: string;
  readonly at: number;
}

const problem = (code: string, message: string): SignatureProblem => ({ code, message });

export const verdictKey = (place: Place, only?: readonly string[]): string => [place.key, place.revision ?? '', ...(only ?? [])].join('\n');
export const fileKey = ({ identity }: ModelFile): string => `${identity.dev}:${identity.ino}`;

/** Policy and record together decide: a verdict of other ones is none. */
export const decidedBy = (policyHash: string, record: ContentRecord | null, revisionNamed: boolean): string =>
  createHash('sha256')
    .update(JSON.stringify([policyHash, record, revisionNamed]))
    .digest('hex');

/**
 * Looks at a model as it is. `how`: as one that was never seen, with the hashes that are known or with none; `peek` reads no file.
 */
export async function judgeModel(options: JudgeOptions, sealed: SealedPolicy, request: AdmitRequest, how?: 'known' | 'hash' | 'peek'): Promise<Judged> {
  const { state, clock } = options;
  const anew = how === 'peek' ? undefined : how;
  const { policy } = sealed;
  const place = await placeOf(options.places, request);
  const rule = ruleFor(policy, place.kind, place.name);
  const none = {
    place,
    rule,
    files: [],
    cleaned: [],
    templates: [],
    hashed: [],
    rootDigest: null,
    signer: null,
    firstUse: false,
    record: null,
    cached: false,
  } as const;
  const refused = (...problems: SignatureProblem[]): Judged => ({ ...none, problems, fingerprint: '', hashedAt: 0, keep: false });
  if (rule.source.require === 'deny') return refused(problem('source_denied', 'the trust policy takes no model from this source'));
  const stored = anew === undefined ? state.get('model', place.key) : undefined;
  if (stored === 'tampered') return refused(problem('trust_tampered', 'what hearth wrote down about this model was changed by something else'));
  const record = (stored?.value as ContentRecord | null | undefined) ?? null;

  const signed = await signatureCounts(place, policy, rule);
  const listing = signed ? await walkModel({ directory: place.directory, blobs: place.blobs }) : await listModelFiles(place, request.only);
  const files = listing.files.filter(({ path }) => (request.only === undefined ? isReadable(path) : request.only.includes(path)));
  const fingerprint = fingerprintOf(listing);
  const keep = place.kind !== 'path' || !(await othersMayWrite(place, listing.files));
  const by = decidedBy(sealed.hash, record, request.revisionNamed ?? false);
  const kept = keep && anew === undefined ? keptVerdict(state, verdictKey(place, request.only)) : null;
  const fresh = kept !== null && kept.fingerprint === fingerprint && clock.now() - kept.hashedAt < REHASH_MS;
  if (fresh && kept.decidedBy === by && signerIsActive(policy, kept.signer, clock.now()))
    return { ...none, ...kept, files, record, cached: true, firstUse: false, keep };

  const { require } = rule.source;
  if (how === 'peek') return { ...none, files, record, fingerprint, hashedAt: 0, keep, problems: [] };
  const limits = overLimits(rule, files);
  if (limits !== null) return { ...refused(limits), files, record };
  const base = { ...none, files, record, fingerprint, keep };
  await settle(listing.files, request.signal);
  const intake = await passIntake(options, request, place, rule, files);
  const found = listing.problems.filter(({ file }) => signed || file === undefined || isReadable(file));
  const edited = require === 'gates' && !signed;
  if (edited && !namesContent(policy, place)) return { ...base, ...intake, problems: [...found, ...intake.problems], hashedAt: clock.now() };

  const usable = anew === 'known' || (anew === undefined && keep && (kept === null || fresh));
  const known = new Map(usable ? listing.files.flatMap((file) => knownHash(state, file, clock.now())) : []);
  const missing = listing.files.filter((file) => !known.has(file.path));
  const threads = request.signal === undefined ? {} : { signal: request.signal };
  const hashedNow = new Map((missing.length === 0 ? [] : await hashFiles(missing, threads)).map((file) => [file.path, file]));
  const hashed = listing.files.map((file) => hashedNow.get(file.path) ?? { ...file, sha256: known.get(file.path)!.sha256 });
  const hashedAt = [...known.values()].reduce((oldest, { at }) => Math.min(oldest, at), clock.now());

  const report = signed ? await verify(place, policy, record, hashed, rule, clock.now(), request.signal) : null;
  const rootDigest = report === null ? rootDigestOf(hashed) : report.rootDigest;
  const problems = [...found, ...(report?.problems ?? [])];
  const seen = new Set<string>();
  const distinct = problems.filter(({ code, file }) => !seen.has(`${code} ${file}`) && seen.add(`${code} ${file}`));
  if (rootDigest !== null && policy.revoked.some((entry) => entry.rootDigest === rootDigest))
    distinct.push(problem('sig_root_revoked', 'its content was revoked'));
  distinct.push(...pinProblems(policy, place, rootDigest), ...blobProblems(place, hashed));
  // No content is the known one of what its owner edits.
  const content =
    distinct.length === 0 && rootDigest !== null && !edited
      ? judgeContent({
          record,
          revision: place.revision,
          files: hashed,
          rootDigest,
          partial: request.only !== undefined,
          revisionNamed: request.revisionNamed ?? false,
          signed: report !== null,
        })
      : { problems: [], firstUse: false };
  return {
    ...base,
    cleaned: intake.cleaned,
    templates: intake.templates,
    hashed,
    rootDigest,
    signer: report?.signer?.hint ?? null,
    problems: [...distinct, ...content.problems, ...intake.problems],
    firstUse: content.firstUse,
    hashedAt,
  };
}

function keptVerdict(state: StateDatabase, key: string): KeptVerdict | null {
  const row = state.get('verdict', key);
  // One that was tampered with is no verdict: everything is looked at again.
  return row === undefined || row === 'tampered' ? null : (row.value as KeptVerdict | null);
}

/** What a pull hashed, or an earlier verdict: for the same file, unchanged, and not for ever. */
function knownHash(state: StateDatabase, file: ModelFile, nowMs: number): [string, KnownFile][] {
  const row = state.get('file', fileKey(file));
  if (row === undefined || row === 'tampered') return [];
  const known = row.value as KnownFile;
  return known.tuple === tupleOf(file.identity) && nowMs - known.at < REHASH_MS ? [[file.path, known]] : [];
}

/** A signature is checked where one is asked for, and where its signer is one that the policy knows, for good or for bad. */
async function signatureCounts(place: Place, policy: TrustPolicy, rule: SourceRule): Promise<boolean> {
  if (rule.source.require === 'signature') return true;
  if (policy.keys.length === 0 && policy.revoked.length === 0) return false;
  const bytes = await readSignatureFile(join(place.directory, SIGNATURE_FILE)).catch(() => null);
  const material = bytes === null ? null : (readSignature(bytes).signature?.material ?? null);
  if (material === null) return false;
  if (material.kind !== 'key') return policy.keys.some(({ kind }) => kind === material.kind);
  return policy.keys.some(({ hint }) => hint === material.hint) || policy.revoked.some(({ hint }) => hint !== undefined && hint === material.hint);
}

function verify(
  place: Place,
  policy: TrustPolicy,
  record: ContentRecord | null,
  known: readonly HashedFile[],
  rule: SourceRule,
  now: number,
  signal?: AbortSignal,
) {
  const { keys } = rule.source;
  const trusted = policy.keys.filter((key) => key.pending === undefined && (keys === undefined || keys.includes(key.hint))) as readonly TrustedSigner[];
  return verifyDirectory({
    directory: place.directory,
    blobs: place.blobs,
    trusted,
    revoked: policy.revoked.map(({ hint, rootDigest }) => ({ ...(hint === undefined ? {} : { hint }), ...(rootDigest === undefined ? {} : { rootDigest }) })),
    modelId: place.modelId,
    now,
    known,
    ...(record === null ? {} : { firstAcceptedAt: record.firstSeen }),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** A kept verdict lives no longer than the right of its signer. */
function signerIsActive(policy: TrustPolicy, hint: string | null, nowMs: number): boolean {
  if (hint === null) return true;
  const key = policy.keys.find((candidate) => candidate.hint === hint);
  return key !== undefined && keyState(key, nowMs) === 'active';
}

/** Whether the policy revokes contents, or pins the one of this model: then the files are hashed whatever the rule asks for. */
const namesContent = ({ models, revoked }: TrustPolicy, { name }: Place): boolean =>
  models[name] !== undefined || revoked.some(({ rootDigest }) => rootDigest !== undefined);

function pinProblems(policy: TrustPolicy, place: Place, rootDigest: string | null): SignatureProblem[] {
  const pin = policy.models[place.name];
  if (pin === undefined) return [];
  const problems: SignatureProblem[] = [];
  if (pin.commit !== undefined && pin.commit !== place.revision)
    problems.push({ code: 'pin_mismatch', message: 'the policy pins another commit', expected: pin.commit, actual: place.revision ?? 'none' });
  if (pin.rootDigest !== undefined && pin.rootDigest !== rootDigest)
    problems.push({ code: 'pin_mismatch', message: 'the policy pins another content', expected: pin.rootDigest, actual: rootDigest ?? 'none' });
  return problems;
}

/** A blob of the cache is named by the SHA-256 of its content, where the hub keeps it so. */
function blobProblems(place: Place, hashed: readonly HashedFile[]): SignatureProblem[] {
  return hashed.flatMap(({ path, source, sha256 }) => {
    const name = source.slice(source.lastIndexOf('/') + 1);
    const isBlob = place.blobs.some((blobs) => source.startsWith(`${blobs}/`)) && /^[0-9a-f]{64}$/.test(name);
    if (!isBlob || name === sha256) return [];
    return [{ code: 'file_changed', message: `${path} is not the content that its blob is named by`, file: path, expected: name, actual: sha256 }];
  });
}

function overLimits({ source }: SourceRule, files: readonly ModelFile[]): SignatureProblem | null {
  const bytes = files.reduce((sum, { identity }) => sum + identity.size, 0);
  if (source.maxBytes !== undefined && bytes > source.maxBytes) return problem('source_limit', 'the model is larger than the trust policy allows');
  const odd = files.find(({ path }) => /\.(safetensors|gguf)$/i.test(path) && !source.formats?.some((format) => path.toLowerCase().endsWith(`.${format}`)));
  if (source.formats !== undefined && odd !== undefined)
    return { ...problem('source_format', `${odd.path} has a form that the trust policy does not take`), file: odd.path };
  return null;
}

async function passIntake(
  { intake }: JudgeOptions,
  request: AdmitRequest,
  place: Place,
  rule: SourceRule,
  files: readonly ModelFile[],
): Promise<Pick<Judged, 'cleaned' | 'templates' | 'problems'>> {
  if (intake === undefined) return { cleaned: [], templates: [], problems: [] };
  const report = await intake({
    id: request.id,
    revision: place.revision,
    purpose: 'load',
    files: files.map(({ path, source, identity }) => ({ path, source, sizeBytes: identity.size })),
    origin: place.kind === 'hub' ? 'hub' : 'workspace',
    ...(rule.source.maxBytes === undefined ? {} : { maxBytes: rule.source.maxBytes }),
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  });
  const problems = report.findings.map(({ code, message, file }) => ({
    code,
    message: file === undefined ? message : `${file} ${message}`,
    ...(file === undefined ? {} : { file }),
  }));
  return {
    cleaned: report.cleaned.map(({ path, sha256, bytes }) => ({ path, sha256, bytes })),
    templates: report.templates.map(({ file, sha256 }) => ({ file, sha256 })),
    problems,
  };
}
