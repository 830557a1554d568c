/** What of a structured value is secret by the name of its field (docs/spec/security.md §11, pass 3). */

const EXACT = new Set([
  ...['authorization', 'proxy_authorization', 'cookie', 'set_cookie', 'api_key', 'apikey', 'x_api_key', 'password', 'passphrase', 'passwd'],
  ...['secret', 'private_key', 'credential', 'credentials', 'token', 'secret_key', 'access_key'],
]);
const ENDINGS = /_(?:secret|token|password|passphrase|api_?key|private_key|secret_key|access_key|authorization|credentials?)$/;
/** Tokens of a vocabulary, not of access. */
const VOCABULARY = /(?:^|_)(?:bos|eos|pad|unk|sep|cls|mask|eot|eom|image|audio|video|begin|end|stop|first|last|next|output|input|special|added)_token(?:_id)?$/;

/** `X-Api-Key`, `xApiKey` and `x_api_key` are one name. */
const normal = (name: string): string =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll(/[-.\s]/g, '_')
    .toLowerCase();

/** The kind of secret that a field of this name holds, or null. Counts such as `max_tokens` and tokens of a vocabulary are none. */
export function secretKindOf(name: string): string | null {
  if (name.length > 128) return null;
  const plain = normal(name);
  if (VOCABULARY.test(plain)) return null;
  if (EXACT.has(plain)) return kindOf(plain);
  return ENDINGS.test(plain) ? kindOf(plain) : null;
}

function kindOf(name: string): string {
  const [, kind = 'secret'] = /(authorization|cookie|password|passwd|passphrase|credential|token|api_?key|key|secret)s?$/.exec(name) ?? [];
  if (kind === 'passwd') return 'password';
  return kind === 'apikey' || kind === 'api_key' ? 'api-key' : kind;
}
