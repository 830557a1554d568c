/** Patterns of secrets that must not reach a log, an error or a terminal (docs/spec/security.md §11, passes 1 and 2 in part). */
const PATTERNS: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ['hub-token', /\bhf_[A-Za-z0-9]{30,}\b/g],
  ['api-key', /\bsk-[A-Za-z0-9_-]{20,}/g],
  ['github-token', /\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{40,}/g],
  ['aws-key', /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g],
  ['npm-token', /\bnpm_[A-Za-z0-9]{36}\b/g],
  ['slack-token', /\bxox[abprs]-[\w-]{10,}/g],
  ['hearth-key', /\bhth_\w{12}_[\w-]{43}/g],
  ['jwt', /\beyJ[\w-]+\.[\w-]+\.[\w-]+/g],
  ['private-key', /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g],
  ['bearer', /(?<=\bBearer )[^\s"'\\]+/gi],
  ['userinfo', /(?<=\b[a-z][a-z0-9+.-]*:\/\/)[^/\s@"'\\]+(?=@)/gi],
  ['query', /(?<=[?&](?:token|access_token|api_key|key|sig|signature|password|secret|X-Amz-[A-Za-z-]+)=)[^&\s"'\\]+/gi],
];

/** What every secret of a known shape holds: most texts hold none of it, and one look shows it. */
const MARKS =
  /hf_|sk-|gh[pousr]_|github_pat_|A[KS]IA|npm_|xox|hth_|eyJ|-----BEGIN|bearer |:\/\/|[?&](?:token|access_token|api_key|key|sig|signature|password|secret|X-Amz-)/i;

const known = new Map<string, string>();

/** Registers a secret value that this process knows, so that every later text is stripped of it. */
export function registerSecret(kind: string, value: string): void {
  if (value.length >= 8) known.set(value, kind);
}

/** The text with secrets replaced by `[redacted:<kind>]`. */
export function redact(text: string): string {
  let result = text;
  for (const [value, kind] of known) result = result.replaceAll(value, `[redacted:${kind}]`);
  if (!MARKS.test(result)) return result;
  for (const [kind, pattern] of PATTERNS) result = result.replace(pattern, `[redacted:${kind}]`);
  return result;
}
