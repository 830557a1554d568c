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

const CODES: Readonly<Record<string, string>> = { CERTIFICATE_ERROR: 'cert_chain', NOT_IMPLEMENTED_ERROR: 'sig_bad_bundle' };
