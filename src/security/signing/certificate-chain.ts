import { X509Certificate } from 'node:crypto';
import { curveOf, keyName } from './ec-key.ts';
import { problem } from './problems.ts';
import type { SignatureProblem, TrustedSigner } from './types.ts';

type Extensions = typeof import('@peculiar/x509');

export interface ChainQuestion {
  /** DER, leaf first, then intermediates; a root at the end is allowed where it is a trusted one. */
  readonly certificates: readonly Uint8Array[];
  readonly trusted: Pick<TrustedSigner, 'roots' | 'subject'>;
  /** Milliseconds since the epoch: the time at which all have to be valid. */
  readonly at: number;
}

/** The leaf of a chain; null where it is no certificate. */
export function parseLeaf(certificates: readonly Uint8Array[]): X509Certificate | null {
  return parse(certificates[0]!);
}

/** Checks a chain against the only roots that count (docs/spec/security.md §2). No problems: it may sign, and is who was expected. */
export async function checkChain(question: ChainQuestion): Promise<SignatureProblem[]> {
  const chain = question.certificates.map((bytes) => parse(bytes));
  if (chain.includes(null)) return [problem('cert_chain', 'The signature holds a certificate that cannot be read.')];
  const certificates = chain as X509Certificate[];
  const roots = (question.trusted.roots ?? []).flatMap(splitPem).map((pem) => parse(Buffer.from(pem)));
  const x509 = await import('@peculiar/x509');
  const problems = linkProblems(
    certificates,
    roots.filter((root) => root !== null),
    x509,
    question.at,
  );
  const leaf = certificates[0]!;
  problems.push(...usageProblems(leaf, x509));
  const { subject } = question.trusted;
  if (subject !== undefined && !namesOf(leaf, x509).includes(subject)) {
    problems.push(problem('cert_subject', 'The certificate is of somebody else.', { expected: subject, actual: namesOf(leaf, x509)[0] ?? '' }));
  }
  return problems;
}

/** Who the leaf says it is: its subject (RFC 4514, and as OpenSSL prints it), then its alternative names. */
export async function subjectNames(leaf: X509Certificate): Promise<string[]> {
  return namesOf(leaf, await import('@peculiar/x509'));
}

function linkProblems(certificates: readonly X509Certificate[], roots: readonly X509Certificate[], x509: Extensions, at: number): SignatureProblem[] {
  const problems: SignatureProblem[] = [];
  let path = [...certificates];
  const top = path.at(-1)!;
  const trustedTop = roots.some((root) => root.raw.equals(top.raw));
  if (!trustedTop) {
    const anchor = roots.find((root) => issued(root, top));
    if (anchor !== undefined) path = [...path, anchor];
    // Nothing but a leaf, and no root that issued it: what is between them is missing, as far as one can tell.
    else if (path.length === 1 && top.subject !== top.issuer)
      problems.push(problem('cert_chain', 'The signature lacks the certificates between the signer and a trusted root.'));
    else problems.push(problem('cert_untrusted_root', 'The certificates of the signature do not lead to a trusted root.'));
  }
  for (let index = 0; index + 1 < path.length; index += 1) {
    const issuer = path[index + 1]!;
    if (!issued(issuer, path[index]!)) problems.push(problem('cert_chain', `Certificate ${index + 1} of the signature was not issued by the next one.`));
    const limits = new x509.X509Certificate(issuer.raw).getExtension(x509.BasicConstraintsExtension);
    const usage = new x509.X509Certificate(issuer.raw).getExtension(x509.KeyUsagesExtension);
    const maySign = usage === null || (usage.usages & x509.KeyUsageFlags.keyCertSign) !== 0;
    // `index` intermediates stand between the issuer and the leaf.
    const tooLong = limits?.pathLength !== undefined && index > limits.pathLength;
    if (limits?.ca !== true || !issuer.ca || !maySign || tooLong) {
      problems.push(problem('cert_chain', `Certificate ${index + 2} of the chain is none that may issue this one (${oneLine(issuer.subject)}).`));
    }
  }
  for (const certificate of path) {
    if (certificate.validFromDate.getTime() > at || certificate.validToDate.getTime() < at) {
      const { validFrom, validTo } = certificate;
      problems.push(problem('cert_expired', `The certificate of ${oneLine(certificate.subject)} is valid from ${validFrom} to ${validTo} only.`));
    }
  }
  return problems;
}

const issued = (issuer: X509Certificate, certificate: X509Certificate): boolean => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);

function usageProblems(leaf: X509Certificate, x509: Extensions): SignatureProblem[] {
  const problems: SignatureProblem[] = [];
  if (curveOf(leaf.publicKey) === null) {
    problems.push(problem('sig_key_type', `The certificate's key is ${keyName(leaf.publicKey)}; only P-256, P-384 and P-521 sign models.`));
  }
  const parsed = new x509.X509Certificate(leaf.raw);
  // Node's own `keyUsage` lists the extended usages.
  const usage = parsed.getExtension(x509.KeyUsagesExtension);
  const extended = parsed.getExtension(x509.ExtendedKeyUsageExtension);
  const signs = usage !== null && (usage.usages & x509.KeyUsageFlags.digitalSignature) !== 0;
  const signsCode = usage === null && (extended?.usages.includes(x509.ExtendedKeyUsage.codeSigning) ?? false);
  const critical = parsed.extensions.filter(({ critical, type }) => critical && !UNDERSTOOD.has(type)).map(({ type }) => type);
  if (!signs && !signsCode) problems.push(problem('cert_usage', 'The certificate may not be used for signatures (no digitalSignature, no codeSigning).'));
  if (critical.length > 0) problems.push(problem('cert_usage', `The certificate has a critical extension that hearth does not know: ${critical.join(', ')}.`));
  return problems;
}

/** Basic constraints, key usage, extended key usage, alternative names, key identifiers. */
const UNDERSTOOD = new Set(['2.5.29.19', '2.5.29.15', '2.5.29.37', '2.5.29.17', '2.5.29.14', '2.5.29.35']);

function namesOf(leaf: X509Certificate, x509: Extensions): string[] {
  const parsed = new x509.X509Certificate(leaf.raw);
  const alternatives = parsed.getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? [];
  return [parsed.subject, oneLine(leaf.subject), ...alternatives.map(({ value }) => value)].filter((name) => name !== '');
}

const oneLine = (subject: string | undefined): string => (subject ?? '').split('\n').join(', ');

/** The certificates of a PEM file. */
export const splitPem = (pem: string): string[] => pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];

/** Bytes that are more than the certificate, or another spelling of it, are none. */
function parse(bytes: Uint8Array): X509Certificate | null {
  try {
    const certificate = new X509Certificate(bytes);
    return bytes[0] !== 0x30 || certificate.raw.equals(bytes) ? certificate : null;
  } catch {
    return null;
  }
}
