import { HearthError } from '../../core/index.ts';
import type { TrustVerdict } from './types.ts';

const CHANGED = (id: string): string =>
  `its files are not those that hearth knows. \`hearth trust explain ${id}\` names them; if you changed them yourself, \`hearth trust accept ${id}\` takes them as they are.`;
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

/** The refusal as its reader sees it: no path and no name of a file, whoever asks. */
export function refusalOf(id: string, verdict: Pick<TrustVerdict, 'reason'>): HearthError {
  const { reason } = verdict;
  const signature = reason?.startsWith('sig_') || reason?.startsWith('cert_');
  const text = reason === null ? undefined : (TEXTS[reason] ?? (signature ? SIGNATURE : undefined));
  const why = text?.(id) ?? `it did not pass the checks that every model passes (${reason}). \`hearth trust explain ${id}\` tells more.`;
  return new HearthError('model_refused', `${id} is not loaded: ${why}`, { details: { param: 'model', reason } });
}
