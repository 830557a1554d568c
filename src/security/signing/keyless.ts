import { readFile } from 'node:fs/promises';
import { problem } from './problems.ts';
import type { Signature } from './read-signature.ts';
import type { SignatureProblem } from './types.ts';

/** Who a keyless signature is by, as its log and certificate authority vouch. */
export interface KeylessIdentity {
  readonly identity: string;
  readonly issuer: string;
}

/**
 * `trusted-root.json` is the public-good instance's, as Sigstore publishes it through TUF (sigstore/root-signing, target trusted_root.json).
 * Checks a keyless bundle offline: certificate, log entries, time stamps and signature, against a Sigstore trusted root (JSON text; the carried one unless
 * given). The identity is compared by the caller, exactly: the library would match it as an unanchored pattern.
 */
export async function checkKeyless(
  signature: Signature,
  trustedRoot: string | null,
): Promise<{ readonly signer: KeylessIdentity | null; readonly problems: readonly SignatureProblem[] }> {
  const [{ bundleFromJSON }, { toSignedEntity, toTrustMaterial, Verifier }, { TrustedRoot }] = await Promise.all([
    import('@sigstore/bundle'),
    import('@sigstore/verify'),
    import('@sigstore/protobuf-specs'),
  ]);
  const loose = looseProof(signature.bundle);
  if (loose !== null) return { signer: null, problems: [problem('sig_invalid', loose)] };
  const root = trustedRoot ?? (await readFile(new URL('./trusted-root.json', import.meta.url), 'utf8'));
  try {
    const material = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(root)));
    const signer = new Verifier(material).verify(toSignedEntity(bundleFromJSON(signature.bundle)));
    const { subjectAlternativeName: identity, extensions } = signer.identity ?? {};
    if (identity === undefined || extensions?.issuer === undefined) {
      return { signer: null, problems: [problem('cert_subject', 'The keyless certificate names no identity, or not who vouched for it.')] };
    }
    return { signer: { identity, issuer: extensions.issuer }, problems: [] };
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string };
    return { signer: null, problems: [problem(CODES[code ?? ''] ?? 'sig_invalid', `The keyless signature does not hold: ${message ?? 'it cannot be read'}.`)] };
  }
}

/** The library takes root and size from the log's signed checkpoint and looks at no second statement of them: one that differs is told here. */
function looseProof(bundle: Signature['bundle']): string | null {
  const { tlogEntries = [] } = bundle['verificationMaterial'] as { readonly tlogEntries?: readonly LogEntry[] };
  const differs = tlogEntries.some(({ inclusionProof: proof }) => {
    const [, size, root] = proof?.checkpoint?.envelope?.split('\n') ?? [];
    return proof !== undefined && (size !== proof.treeSize || root !== proof.rootHash);
  });
  return differs ? 'The keyless signature does not hold: the proof of its log entry is not that of the log.' : null;
}

interface LogEntry {
  readonly inclusionProof?: { readonly rootHash?: string; readonly treeSize?: string; readonly checkpoint?: { readonly envelope?: string } };
}

const CODES: Readonly<Record<string, string>> = { CERTIFICATE_ERROR: 'cert_chain', NOT_IMPLEMENTED_ERROR: 'sig_bad_bundle' };
