import { HearthError } from '../../core/index.ts';
import type { TrustVerdict } from './types.ts';

const CHANGED = (id: string): string =>
  `its files are not those that hearth knows. \`hearth trust explain ${id}\` names them; if you changed them yourself, \`hearth trust accept ${id}\` takes them as they are.`;
/** Accepting takes no content that a signature speaks against. */
const SIGNED_CHANGED = (id: string): string =>
  `its files are not those that were signed. \`hearth verify ${id}\` names them. Fetch it again; if you changed them yourself, \`hearth sign ${id} --key ID\` signs them as they are.`;
const SIGNATURE = (id: string): string => `its signature does not hold. \`hearth verify ${id}\` says what is wrong; fetch the model again from its publisher.`;

/** What to do, by code; the codes of a broken signature share a sentence. */
const TEXTS: Readonly<Record<string, (id: string) => string>> = {
  file_changed: CHANGED,
  file_missing: CHANGED,
  file_extra: CHANGED,
  file_extra_ignored: CHANGED,
  file_symlink: (id) => `one of its files is a link that leads out of it. \`hearth trust explain ${id}\` names it; put the file itself there.`,
  file_hardlink: (id) => `one of its files has a second name (hard link). \`hearth trust explain ${id}\` names it; copy the file.`,
  file_special: (id) => `it holds what is no regular file. \`hearth trust explain ${id}\` names it; remove it.`,
  sig_missing: (id) => `the trust policy asks for a signature here, and it has none. \`hearth sign ${id} --key ID\` signs it with a key of yours.`,
  sig_key_unknown: () => 'it is signed by a key that nobody told hearth to trust. `hearth keys import FILE --model GLOB` takes the public key of a publisher.',
  sig_key_inactive: () => 'the key that signed it is retired or not valid yet; `hearth keys list` shows the dates. Sign it again with an active key.',
  sig_key_revoked: () => 'the key that signed it was revoked (`hearth keys list`). Fetch the model again, signed with another key.',
  sig_root_revoked: () => 'this content was revoked; `hearth trust list` tells when and why. Fetch another revision.',
  sig_subject_mismatch: (id) => `it is signed by a trusted key that may not vouch for ${id}. \`hearth keys list\` shows the models of each key.`,
  sig_rollback: (id) =>
    `it is another revision than the one that was accepted last. \`hearth trust accept ${id}\` takes this one; \`hearth pull ${id} --update\` fetches the newest.`,
  pin_mismatch: () => 'the trust policy pins another content of it; `hearth trust list` shows the pins.',
  source_denied: () => 'the trust policy takes no model from this source; `hearth trust list` shows the rules.',
  source_limit: () => 'it is larger than the trust policy allows for its source; `hearth trust list` shows the rules.',
  source_format: () => 'its weights have a form that the trust policy does not take from its source; `hearth trust list` shows the rules.',
  trust_tampered: (id) =>
    `what hearth wrote down about it was changed by something else than hearth. If the files are right, \`hearth trust accept ${id}\` writes it anew.`,
};

type Facts = Pick<TrustVerdict, 'reason' | 'source' | 'signer'>;

/** The refusal as its reader sees it: no path and no name of a file, whoever asks. */
export function refusalOf(id: string, verdict: Facts): HearthError {
  const { reason, source } = verdict;
  // A directory is not named: who hears this may not be its owner. Who named it puts the path that it was asked by in this place.
  const model = source === 'path' && !id.includes('/') ? `path/to/${id}` : id;
  return new HearthError('model_refused', `${id} is not loaded: ${adviceOf(model, verdict)}`, { details: { param: 'model', model, reason } });
}

/** The same for somebody who is looking at the explanation already. */
export function explainedAdvice(id: string, verdict: Facts): string {
  const text = adviceOf(id, verdict).replace(/`hearth trust explain [^`]+` (?:names|tells) \w+[;.] ?/, '');
  return text.replace(/(^|\. )([a-z])/g, (_, before: string, letter: string) => before + letter.toUpperCase()).trimEnd();
}

/** Why, and what to do. `name`: as commands are given it. */
function adviceOf(name: string, { reason, signer }: Facts): string {
  const signature = reason?.startsWith('sig_') || reason?.startsWith('cert_');
  const changed = signer !== null && ['file_changed', 'file_missing', 'file_extra', 'file_extra_ignored'].includes(reason ?? '');
  const text = changed ? SIGNED_CHANGED : reason === null ? undefined : (TEXTS[reason] ?? (signature ? SIGNATURE : undefined));
  return text?.(name) ?? `it did not pass the checks that every model passes (${reason}). \`hearth trust explain ${name}\` tells more.`;
}
