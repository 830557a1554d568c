import { createPublicKey, type KeyObject } from 'node:crypto';
import { modelAllowed } from '../access/model-globs.ts';
import { checkChain, parseLeaf, subjectNames } from './certificate-chain.ts';
import { curveOf, hintOf, keyName, spkiPem, verifyBytes } from './ec-key.ts';
import { signedBytes } from './formats.ts';
import { checkKeyless } from './keyless.ts';
import { problem } from './problems.ts';
import type { OldKey, Signature, SignatureMaterial } from './read-signature.ts';
import type { RevokedEntry, SignatureProblem, TrustedSigner, VerifyReport } from './types.ts';

export interface SignerQuestion {
  readonly trusted: readonly TrustedSigner[];
  readonly revoked: readonly RevokedEntry[];
  /** null: a path; globs do not count. */
  readonly modelId: string | null;
  /** Of the statement; null where it could not be read. */
  readonly rootDigest: string | null;
  readonly now: number;
  readonly firstAcceptedAt: number;
  readonly trustedRoot: string | null;
}

export interface SignerAnswer {
  readonly signer: VerifyReport['signer'];
  readonly problems: readonly SignatureProblem[];
  readonly warnings: readonly SignatureProblem[];
}

interface Checked extends SignerAnswer {
  /** Trusted entries whose signature this is. */
  readonly entries: readonly TrustedSigner[];
}

/** Whether somebody trusted signed the payload, and may have signed for this model now. */
export async function checkSigner(signature: Signature, question: SignerQuestion): Promise<SignerAnswer> {
  const checked = await checkMaterial(signature, question);
  if (checked.entries.length === 0) return checked;
  return { ...checked, problems: [...checked.problems, ...policyProblems(checked, question)] };
}

function checkMaterial(signature: Signature, question: SignerQuestion): Checked | Promise<Checked> {
  const { material } = signature;
  if (material.kind === 'key') return checkKey(signature, material, question);
  return material.kind === 'cert' ? checkCertificates(signature, material.certificates, question) : checkIdentity(signature, material.certificate, question);
}

function checkKey(signature: Signature, material: Extract<SignatureMaterial, { kind: 'key' }>, { trusted }: SignerQuestion): Checked {
  const keys = trusted.flatMap((entry) => {
    const key = entry.kind === 'key' ? publicKey(entry.pem) : null;
    return key === null ? [] : [{ entry, key, hint: hintOf(key) }];
  });
  const warnings =
    material.hint === null
      ? [problem('sig_no_hint', 'The signature does not say by which key it is (an older release wrote it); every trusted key was tried.')]
      : [];
  const bytes = signedBytes(signature.payload);
  const signed = keys.filter(({ key }) => verifyBytes(key, bytes, signature.signature));
  const named = material.hint === null ? keys : keys.filter(({ hint }) => hint === material.hint);
  const right = signed.filter(({ hint, key }) => (material.hint === null || hint === material.hint) && (material.old === null || spells(material.old, key)));
  const signer = (hint: string | null): VerifyReport['signer'] => ({ kind: 'key', hint });
  if (right.length > 0) return { entries: right.map(({ entry }) => entry), signer: signer(right[0]!.hint), problems: [], warnings };
  const wrong = (code: string, message: string): Checked => ({ entries: [], signer: signer(material.hint), problems: [problem(code, message)], warnings });
  const unfit = named.find(({ key }) => curveOf(key) === null);
  if (unfit !== undefined) return wrong('sig_key_type', `The key is ${keyName(unfit.key)}; only P-256, P-384 and P-521 sign models.`);
  if (signed.length > 0) return wrong('sig_hint_mismatch', 'The signature names another key than the one that made it.');
  if (named.length === 0)
    return wrong('sig_key_unknown', `No trusted key is the one of the signature${material.hint === null ? '' : ` (${material.hint.slice(0, 12)}…)`}.`);
  return wrong('sig_invalid', 'The signature does not fit its content: one of them was changed after the signing.');
}

/** The text of the key in an old signature has to be that of the key that it was checked with. */
const spells = (old: OldKey, key: KeyObject): boolean =>
  old.rawBytes === Buffer.from(spkiPem(key)).toString('base64') && (old.keyDetails === null || old.keyDetails === curveOf(key)?.keyDetails);

async function checkCertificates(signature: Signature, certificates: readonly Uint8Array[], question: SignerQuestion): Promise<Checked> {
  const leaf = parseLeaf(certificates);
  const subject = leaf === null ? undefined : (await subjectNames(leaf))[0];
  const signer: VerifyReport['signer'] = { kind: 'cert', hint: leaf === null ? null : hintOf(leaf.publicKey), ...(subject === undefined ? {} : { subject }) };
  const problems: SignatureProblem[] = [];
  if (leaf !== null && curveOf(leaf.publicKey) !== null && !verifyBytes(leaf.publicKey, signedBytes(signature.payload), signature.signature)) {
    problems.push(problem('sig_invalid', 'The signature does not fit its content: one of them was changed after the signing.'));
  }
  const entries = question.trusted.filter(({ kind }) => kind === 'cert');
  const tried = await Promise.all(entries.map((trusted) => checkChain({ certificates, trusted, at: question.firstAcceptedAt })));
  const fitting = entries.filter((_, index) => tried[index]!.length === 0);
  if (fitting.length === 0) {
    // What the entry that came closest lacks.
    const closest = tried.toSorted((a, b) => a.length - b.length)[0];
    problems.push(...(closest ?? [problem('cert_untrusted_root', 'No root of certificates is trusted here.')]));
  }
  return { entries: problems.length === 0 ? fitting : [], signer, problems, warnings: [] };
}

async function checkIdentity(signature: Signature, certificate: Uint8Array, question: SignerQuestion): Promise<Checked> {
  // The library reads certificates more loosely than Node does.
  if (parseLeaf([certificate]) === null) {
    return {
      entries: [],
      signer: { kind: 'keyless', hint: null },
      problems: [problem('cert_chain', 'The signature holds a certificate that cannot be read.')],
      warnings: [],
    };
  }
  const { signer, problems } = await checkKeyless(signature, question.trustedRoot);
  if (signer === null) return { entries: [], signer: { kind: 'keyless', hint: null }, problems, warnings: [] };
  const keyless = question.trusted.filter(({ kind }) => kind === 'keyless');
  const entries = keyless.filter(({ identity, issuer }) => identity === signer.identity && issuer === signer.issuer);
  const subject = `${signer.identity} (${signer.issuer})`;
  if (entries.length > 0) return { entries, signer: { kind: 'keyless', hint: entries[0]!.hint, subject }, problems: [], warnings: [] };
  const expected = keyless.map(({ identity, issuer }) => `${identity} (${issuer})`).join(', ');
  const wrong = problem('cert_subject', 'The signature is by somebody who is not trusted.', { actual: subject, ...(expected === '' ? {} : { expected }) });
  return { entries: [], signer: { kind: 'keyless', hint: null, subject }, problems: [wrong], warnings: [] };
}

/** What a signature that holds still lacks: one entry without a problem is enough. */
function policyProblems({ entries, signer }: Checked, question: SignerQuestion): SignatureProblem[] {
  const tried = entries.map((entry) => entryProblems(entry, signer?.hint ?? entry.hint, question));
  const root = question.rootDigest;
  const revokedRoot = root !== null && question.revoked.some(({ rootDigest }) => rootDigest === root);
  return [
    ...(tried.some((problems) => problems.length === 0) ? [] : tried[0]!),
    ...(revokedRoot ? [problem('sig_root_revoked', 'This content was revoked; take a newer version of the model.', { actual: root })] : []),
  ];
}

function entryProblems(entry: TrustedSigner, hint: string, { revoked, modelId, rootDigest, now }: SignerQuestion): SignatureProblem[] {
  const problems: SignatureProblem[] = [];
  const isRevoked =
    (entry.revokedAt !== undefined && entry.revokedAt <= now) || revoked.some((row) => row.hint !== undefined && [hint, entry.hint].includes(row.hint));
  if (isRevoked) problems.push(problem('sig_key_revoked', 'The key that signed the model was revoked.', { actual: hint }));
  if ((entry.notBefore !== undefined && now < entry.notBefore) || (entry.retireAt !== undefined && now >= entry.retireAt)) {
    problems.push(problem('sig_key_inactive', 'The key that signed the model is not in use: too early for it, or it was retired.', { actual: hint }));
  }
  const pinned = entry.rootDigest === undefined || entry.rootDigest === rootDigest;
  if (!pinned || (modelId !== null && !modelAllowed(entry.models, modelId))) {
    const what = pinned ? `the model ${modelId}` : 'this content';
    problems.push(problem('sig_subject_mismatch', `The key that signed is trusted, but not for ${what}.`, { actual: hint }));
  }
  return problems;
}

function publicKey(pem: string | undefined): KeyObject | null {
  try {
    return pem === undefined ? null : createPublicKey(pem);
  } catch {
    return null;
  }
}
