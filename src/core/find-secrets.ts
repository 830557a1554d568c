import { secretKindOf } from './secret-names.ts';

/** A secret in a text: `value` is what its fingerprint is made of. */
export interface SecretSpan {
  readonly start: number;
  readonly end: number;
  readonly kind: string;
  readonly value: string;
}

/**
 * Secrets of known shapes (docs/spec/security.md §11, pass 2). No pattern may run over the same characters from many starts: texts of megabytes come here,
 * and whoever wrote them may want us to be slow.
 */
const PATTERNS: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ['hub-token', /hf_[A-Za-z0-9]{30,}/g],
  ['api-key', /(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{20,}/g],
  ['github-token', /gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{40,}/g],
  ['aws-key', /(?:AKIA|ASIA)[0-9A-Z]{16}/g],
  ['npm-token', /npm_[A-Za-z0-9]{36}/g],
  ['slack-token', /xox[abprs]-[\w-]{10,}/g],
  ['hearth-key', /hth_\w{12}_[\w-]{43}/g],
  ['jwt', /(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]+/g],
  ['bearer', /(?<=\bBearer )[^\s"'\\]{6,}/gi],
  ['userinfo', /(?<=[a-z0-9+.-]:\/\/)[^/\s@"'\\]{1,4096}(?=@)/gi],
  ['query', /(?<=[?&](?:token|access_token|api_key|key|sig|signature|password|secret|X-Amz-[A-Za-z-]{1,40})=)[^&\s"'\\#]+/gi],
];

/** What every secret of a known shape or name holds: most texts hold none of it, and one look shows it. */
const MARKS =
  /hf_|sk-|gh[pousr]_|github_pat_|A[KS]IA|npm_|xox|hth_|eyJ|-----BEGIN|bearer |:\/\/|[?&](?:token|access_token|api_key|key|sig|signature|X-Amz-)|pass(?:word|phrase|wd)|secret|(?:api|access|private)[-_]?key|authorization|cookie|credential|token\\{0,3}["']?[ \t]{0,4}[:=]/i;

/** No shape and no known value is shorter; many fields of a log are. */
const SHORTEST = 6;
const NONE: readonly SecretSpan[] = [];

/** Secrets in a text, in order and apart. Where two overlap they are one, of the kind that was found first. */
export function findSecrets(text: string, known: (text: string) => readonly SecretSpan[]): readonly SecretSpan[] {
  if (text.length < SHORTEST) return NONE;
  const asGiven = known(text);
  // Most texts hold nothing of all this, and every field of a log comes here.
  if (asGiven.length === 0 && !MARKS.test(text) && !ESCAPES.test(text)) return NONE;
  const found = [...asGiven, ...shaped(text)];
  if (ESCAPES.test(text)) {
    const { plain, at } = unescaped(text);
    for (const all of [known(plain), shaped(plain)]) for (const span of all) found.push({ ...span, start: at[span.start]!, end: at[span.end]! });
  }
  return found.length < 2 ? found.filter(isOpen) : apart(found.filter(isOpen));
}

const KEY_BEGIN = /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----/g;
const KEY_END = /-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----/;
/** A key in PEM that has no end within these is taken to be so long. */
export const LONGEST_KEY = 16 * 1024;

function* privateKeys(text: string): Generator<SecretSpan> {
  let done = 0;
  for (const { index: start } of text.matchAll(KEY_BEGIN)) {
    if (start < done) continue;
    const body = text.slice(start, start + LONGEST_KEY);
    const end = KEY_END.exec(body);
    const value = end === null ? body : body.slice(0, end.index + end[0].length);
    done = start + value.length;
    yield { start, end: done, kind: 'private-key', value };
  }
}

function* shaped(text: string): Generator<SecretSpan> {
  if (!MARKS.test(text)) return;
  yield* privateKeys(text);
  for (const [kind, pattern] of PATTERNS)
    for (const match of text.matchAll(pattern)) yield { start: match.index, end: match.index + match[0].length, kind, value: match[0] };
  yield* namedSecrets(text);
}

/** How URLs, JSON pointers and JSON write characters that would mean something there. */
const ESCAPES = /%[0-9a-f]{2}|~[01]|\\u[0-9a-f]{4}|\\\//i;
const EACH_ESCAPE = new RegExp(ESCAPES, 'gi');

function meantBy(sign: string): string {
  if (sign === '~0') return '~';
  if (sign === '~1' || sign === '\\/') return '/';
  return String.fromCharCode(Number.parseInt(sign.replace(/^%|^\\u/i, ''), 16));
}

/** The text as it was before, and where each of its characters stands in the given one. */
function unescaped(text: string): { readonly plain: string; readonly at: Uint32Array } {
  let plain = '';
  const at = new Uint32Array(text.length + 1);
  let done = 0;
  const keep = (end: number): void => {
    for (let from = done; from < end; from += 1) at[plain.length + from - done] = from;
    plain += text.slice(done, end);
    done = end;
  };
  for (const { index, 0: sign } of text.matchAll(EACH_ESCAPE)) {
    keep(index);
    at[plain.length] = index;
    plain += meantBy(sign);
    done = index + sign.length;
  }
  keep(text.length);
  at[plain.length] = text.length;
  return { plain, at };
}

/** A mark of an earlier pass is no secret: what was stripped once stays as it is. */
const STRIPPED = /\[redacted:[a-z0-9-]{1,40}:[0-9a-f]{8}\]/g;
const isOpen = ({ value }: SecretSpan): boolean =>
  !value.includes('[redacted:') || !/^(?:(?:basic|bearer|digest|token)\s+)?$/i.test(value.replaceAll(STRIPPED, '').trim());

function apart(found: readonly SecretSpan[]): readonly SecretSpan[] {
  const ordered = found.map((span, rank) => ({ ...span, rank })).sort((a, b) => a.start - b.start || a.rank - b.rank);
  const result: (SecretSpan & { rank: number })[] = [];
  for (const span of ordered) {
    const last = result.at(-1);
    if (last === undefined || span.start >= last.end) result.push(span);
    else {
      const first = span.rank < last.rank ? span : last;
      result[result.length - 1] = { ...first, start: last.start, end: Math.max(last.end, span.end) };
    }
  }
  return result;
}

/** A name, perhaps in quotes of some level of JSON, then `:` or `=`. What stands before the name is read backwards. */
const NAMED =
  /(authorization|cookie|api[-_]?key|password|passwd|passphrase|secret|private[-_]?key|access[-_]?key|credentials?|token)(\\{0,3}["'])?[ \t]{0,4}([:=])[ \t]{0,4}/gi;
const NAME_BEFORE = /[\w-]{1,64}$/;
const INSIDE_MARK = /\[redacted:[a-z0-9-]{0,40}$/;
const NOTHING = /^(?:none|null|nil|true|false|undefined|self|required|optional)\b/i;
const IN_QUOTES = /(?:[^"\\\n]|\\[^\n]){1,4096}/y;
const IN_SINGLE_QUOTES = /[^'\n]{1,4096}/y;
const IN_ESCAPED_QUOTES = /[^"\n]{1,4096}/y;
const SCHEME = /(?:Basic|Bearer|Digest|Token|AWS4-HMAC-SHA256) [^\r\n"'\\]{1,4096}/iy;
const COOKIES = /[\w!#$%&*+.^`|~-]{1,128}=[^\r\n"'\\]{1,4096}/y;
const WORD = /[^\s"'\\,;&<>(){}[\]]{4,4096}/y;

function* namedSecrets(text: string): Generator<SecretSpan> {
  for (const match of text.matchAll(NAMED)) {
    const at = match.index + match[0].length;
    const [, core, quote, sign] = match as unknown as [string, string, string | undefined, string];
    const before = NAME_BEFORE.exec(text.slice(Math.max(0, match.index - 64), match.index))?.[0] ?? '';
    const kind = secretKindOf(before + core);
    if (kind === null || INSIDE_MARK.test(text.slice(Math.max(0, match.index - 48), match.index))) continue;
    const value = valueAt(text, at, { kind, sign, quoted: quote !== undefined });
    // A piece of text that a model weighed is called `token` in the answers of every API.
    if (
      value !== null &&
      kind === 'token' &&
      /^\\{0,3}"\s*,\s*\\{0,3}"logprob/.test(text.slice(value.start + value.text.length, value.start + value.text.length + 32))
    )
      continue;
    if (value !== null) yield { start: value.start, end: value.start + value.text.length, kind, value: value.text };
  }
}

interface Naming {
  readonly kind: string;
  readonly sign: string;
  readonly quoted: boolean;
}

function valueAt(text: string, at: number, { kind, sign, quoted }: Naming): { start: number; text: string } | null {
  const read = (pattern: RegExp, start: number): { start: number; text: string } | null => {
    pattern.lastIndex = start;
    const match = pattern.exec(text);
    return match === null ? null : { start, text: match[0] };
  };
  const [opening = ''] = /^\\{0,3}["']/.exec(text.slice(at, at + 4)) ?? [];
  if (opening !== '') {
    // In prose and code a name may be followed by any quotation; in JSON and in assignments by its value.
    const start = at + opening.length;
    if (opening === '"') return read(IN_QUOTES, start);
    if (opening === "'") return read(IN_SINGLE_QUOTES, start);
    const value = read(IN_ESCAPED_QUOTES, start);
    return value === null ? null : { start, text: value.text.replace(/\\+$/, '') };
  }
  if (quoted) return null;
  if (kind === 'authorization') return read(SCHEME, at) ?? opaque(read(WORD, at), 16);
  if (kind === 'cookie') return read(COOKIES, at);
  const word = read(WORD, at);
  if (word === null || /^[$%]/.test(word.text) || NOTHING.test(word.text)) return null;
  // What a person would say of a password is not one: `password: required`.
  if (kind === 'password' || kind === 'passphrase') return sign === '=' || /\d/.test(word.text) ? word : null;
  return opaque(word, 8);
}

const opaque = (word: { start: number; text: string } | null, length: number): { start: number; text: string } | null =>
  word !== null && word.text.length >= length && /\d/.test(word.text) ? word : null;
