import type { Scope } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';

/** Who sends a request. The Unix socket's file mode and the own process are guards enough for every scope. */
export type Caller =
  | { readonly kind: 'trusted'; readonly via: 'socket' | 'in-process' }
  | { readonly kind: 'tcp'; readonly remoteAddress: string; readonly requireKey: boolean };

export const IN_PROCESS: Caller = { kind: 'trusted', via: 'in-process' };

/** Who may share evaluated prefixes: requests without a key count as one key `local`, trusted ones as `owner` (docs/spec/serving.md §4 item 5, §6.6). */
export const cacheSaltOf = (caller: Caller): string => (caller.kind === 'trusted' ? 'owner' : 'local');

const HEARTH_KEY = /^hth_/;

/**
 * null when the caller may use the scope, else the 401. On TCP `public` is open, and `inference` too unless the
 * listener requires a key; every other scope needs one, and a credential that is shaped like a hearth key is always checked. No keys exist yet, so none passes.
 */
export function checkScope(caller: Caller, scope: Scope, headers: Headers): HearthError | null {
  if (caller.kind === 'trusted') return null;
  const credential = credentialOf(headers);
  if (credential !== null && HEARTH_KEY.test(credential)) return new HearthError('invalid_api_key', 'The key is not valid.');
  if (scope === 'public' || (scope === 'inference' && !caller.requireKey)) return null;
  return new HearthError('invalid_api_key', `This route needs a key with the scope ${scope}, or the Unix socket of the daemon.`);
}

function credentialOf(headers: Headers): string | null {
  const bearer = /^Bearer +(.+)$/i.exec(headers.get('authorization') ?? '');
  return bearer?.[1] ?? headers.get('x-api-key');
}
