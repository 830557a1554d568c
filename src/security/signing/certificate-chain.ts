import { X509Certificate } from 'node:crypto';
import { curveOf, keyName } from './ec-key.ts';
import { problem } from './problems.ts';
import type { SignatureProblem, TrustedSigner } from './types.ts';

type Parser = typeof import('@sigstore/core')['X509Certificate'];
type Parsed = InstanceType<Parser>;

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
  const parser = await loadParser();
  try {
    return chainProblems(question, parser);
  } catch {
    // The parser throws where an extension is of another form than it has to be.
    return [problem('cert_chain', 'The signature holds a certificate that cannot be read.')];
  }
}

function chainProblems(question: ChainQuestion, parser: Parser): SignatureProblem[] {
  const chain = question.certificates.map((bytes) => parse(bytes));
  if (chain.includes(null)) return [problem('cert_chain', 'The signature holds a certificate that cannot be read.')];
  const certificates = chain as X509Certificate[];
  const roots = (question.trusted.roots ?? []).flatMap(splitPem).map((pem) => parse(Buffer.from(pem)));
  const problems = linkProblems(
    certificates,
    roots.filter((root) => root !== null),
    parser,
    question.at,
  );
  const leaf = certificates[0]!;
  problems.push(...usageProblems(leaf, parser));
  const { subject } = question.trusted;
  if (subject !== undefined && !namesOf(leaf, parser).includes(subject)) {
    problems.push(problem('cert_subject', 'The certificate is of somebody else.', { expected: subject, actual: namesOf(leaf, parser)[0] ?? '' }));
  }
  return problems;
}

/** Who the leaf says it is: its subject (`C=.., O=.., CN=..` in the order of the certificate), then its alternative names. */
export async function subjectNames(leaf: X509Certificate): Promise<string[]> {
  const parser = await loadParser();
  try {
    return namesOf(leaf, parser);
  } catch {
    return [oneLine(leaf.subject)];
  }
}

function linkProblems(certificates: readonly X509Certificate[], roots: readonly X509Certificate[], parser: Parser, at: number): SignatureProblem[] {
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
    const extensions = extensionsOf(issuer, parser);
    const limits = extensions?.extBasicConstraints;
    const maySign = extensions?.extKeyUsage?.keyCertSign ?? true;
    // `index` intermediates stand between the issuer and the leaf.
    const tooLong = limits?.pathLenConstraint !== undefined && index > limits.pathLenConstraint;
    if (limits?.isCA !== true || !issuer.ca || !maySign || tooLong) {
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

function usageProblems(leaf: X509Certificate, parser: Parser): SignatureProblem[] {
  const problems: SignatureProblem[] = [];
  if (curveOf(leaf.publicKey) === null) {
    problems.push(problem('sig_key_type', `The certificate's key is ${keyName(leaf.publicKey)}; only P-256, P-384 and P-521 sign models.`));
  }
  const parsed = extensionsOf(leaf, parser);
  if (parsed === null) return [...problems, problem('cert_usage', 'The extensions of the certificate cannot be read.')];
  // Node's own `keyUsage` lists the extended usages, which are what it is asked for here; the plain ones are the parser's.
  const usage = parsed.extKeyUsage;
  const signs = usage?.digitalSignature ?? false;
  const signsCode = usage === undefined && (leaf.keyUsage ?? []).includes(CODE_SIGNING);
  const unknown = parsed.extensions
    .map((extension) => extension.subs[0]!.toOID())
    .filter((oid) => !UNDERSTOOD.has(oid) && parsed.extension(oid)?.critical === true);
  if (!signs && !signsCode) problems.push(problem('cert_usage', 'The certificate may not be used for signatures (no digitalSignature, no codeSigning).'));
  if (unknown.length > 0) problems.push(problem('cert_usage', `The certificate has a critical extension that hearth does not know: ${unknown.join(', ')}.`));
  return problems;
}

/** Basic constraints, key usage, extended key usage, alternative names, key identifiers. */
const UNDERSTOOD = new Set(['2.5.29.19', '2.5.29.15', '2.5.29.37', '2.5.29.17', '2.5.29.14', '2.5.29.35']);

function namesOf(leaf: X509Certificate, parser: Parser): string[] {
  const listed = extensionsOf(leaf, parser)?.extSubjectAltName?.valueObj.subs[0]?.subs ?? [];
  const alternatives = listed.filter(({ tag }) => ALTERNATIVES.some((number) => tag.isContextSpecific(number))).map(({ value }) => value.toString('utf8'));
  return [oneLine(leaf.subject), ...alternatives].filter((name) => name !== '');
}

/** Alternative names that are texts: mail address, host, URI. */
const ALTERNATIVES = [1, 2, 6];
const CODE_SIGNING = '1.3.6.1.5.5.7.3.3';

/** Key usage and limits, which Node does not tell. null: they cannot be read. */
function extensionsOf(certificate: X509Certificate, parser: Parser): Parsed | null {
  try {
    const parsed = parser.parse(Buffer.from(certificate.raw));
    // Every extension is read once here, so that none throws later.
    void [
      parsed.extKeyUsage?.digitalSignature,
      parsed.extBasicConstraints?.pathLenConstraint,
      parsed.extensions.map((extension) => extension.subs[0]!.toOID()),
    ];
    return parsed;
  } catch {
    return null;
  }
}

const loadParser = async (): Promise<Parser> => (await import('@sigstore/core')).X509Certificate;

const oneLine = (subject: string | undefined): string => (subject ?? '').split('\n').join(', ');

/** The certificates of a PEM file. */
export const splitPem = (pem: string): string[] => pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];

/** Bytes that are more than the certificate, or another spelling of it, are none. */
function parse(bytes: Uint8Array): X509Certificate | null {
  try {
    const certificate = new X509Certificate(bytes);
    // Its key is decoded at the first use: one that cannot be makes it none.
    void certificate.publicKey;
    return bytes[0] !== 0x30 || certificate.raw.equals(bytes) ? certificate : null;
  } catch {
    return null;
  }
}
