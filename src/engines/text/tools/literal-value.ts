/** Values of the families that write neither JSON nor tagged text: gemma's maps with bare keys, and Python literals. */
export interface LiteralForm {
  /** Marks around a text, besides quotes. */
  readonly quote: string | null;
}

export interface Literal {
  /** JSON text. */
  readonly json: string;
  readonly end: number;
}

const WORDS: Readonly<Record<string, string>> = { True: 'true', False: 'false', None: 'null', true: 'true', false: 'false', null: 'null' };

/** The value that begins at `at`; null while it is not complete. Throws SyntaxError for what is no value. */
export function readLiteral(text: string, start: number, form: LiteralForm, depth = 0): Literal | null {
  if (depth > 64) throw new SyntaxError('it is nested too deep');
  const at = skip(text, start);
  if (at >= text.length) return null;
  const { quote } = form;
  if (quote !== null && text.startsWith(quote, at)) {
    const end = text.indexOf(quote, at + quote.length);
    return end < 0 ? null : { json: JSON.stringify(text.slice(at + quote.length, end)), end: end + quote.length };
  }
  if (quote?.startsWith(text.slice(at)) === true) return null;
  const first = text[at]!;
  if (first === '"' || first === "'") return readQuoted(text, at, first);
  if (first === '[' || first === '(') return readItems(text, at, first === '[' ? ']' : ')', form, depth);
  if (first === '{') return readMembers(text, at, form, depth);
  const word = /^[^\s,\]})]*/.exec(text.slice(at))![0];
  if (at + word.length >= text.length) return null;
  const known = WORDS[word];
  if (known !== undefined) return { json: known, end: at + word.length };
  if (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(word)) return { json: String(Number(word)), end: at + word.length };
  if (word === '') throw new SyntaxError('a value is missing');
  return { json: JSON.stringify(word), end: at + word.length };
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' };

function readQuoted(text: string, at: number, quote: string): Literal | null {
  let value = '';
  for (let i = at + 1; i < text.length; i++) {
    const character = text[i]!;
    if (character === quote) return { json: JSON.stringify(value), end: i + 1 };
    if (character !== '\\') {
      value += character;
      continue;
    }
    const kind = text[++i];
    const digits = kind === 'u' ? 4 : kind === 'x' ? 2 : 0;
    if (kind === undefined || i + digits >= text.length) return null;
    value += digits === 0 ? (ESCAPES[kind] ?? kind) : String.fromCharCode(Number.parseInt(text.slice(i + 1, i + 1 + digits), 16) || 0);
    i += digits;
  }
  return null;
}

function readItems(text: string, at: number, close: string, form: LiteralForm, depth: number): Literal | null {
  const items: string[] = [];
  for (let i = skip(text, at + 1); ; ) {
    if (i >= text.length) return null;
    if (text[i] === close) return { json: `[${items.join(', ')}]`, end: i + 1 };
    const item = readLiteral(text, i, form, depth + 1);
    if (item === null) return null;
    items.push(item.json);
    i = skip(text, item.end);
    if (text[i] === ',') i = skip(text, i + 1);
    else if (i < text.length && text[i] !== close) throw new SyntaxError('values are not separated by commas');
  }
}

function readMembers(text: string, at: number, form: LiteralForm, depth: number): Literal | null {
  const { members, end } = readMap(text, at, '}', ':', form, depth);
  return end === null ? null : { json: `{${members.join(', ')}}`, end };
}

/** `{key: value, …}` or `(key=value, …)` as far as it is there; members as JSON texts. */
export function readMap(
  text: string,
  at: number,
  close: string,
  between: string,
  form: LiteralForm,
  depth = 0,
): { readonly members: readonly string[]; readonly end: number | null } {
  const members: string[] = [];
  for (let i = skip(text, at + 1); ; ) {
    if (i >= text.length) return { members, end: null };
    if (text[i] === close) return { members, end: i + 1 };
    const quoted = text[i] === '"' || text[i] === "'" || (form.quote !== null && text.startsWith(form.quote, i));
    const word = quoted ? null : /^[^\s:=,{}()]+/.exec(text.slice(i));
    const key: Literal | null = quoted
      ? readLiteral(text, i, form, depth + 1)
      : word === null
        ? null
        : { json: JSON.stringify(word[0]), end: i + word[0].length };
    if (key === null && !quoted) throw new SyntaxError('a name is missing');
    const separator = key === null ? text.length : skip(text, key.end);
    if (separator >= text.length) return { members, end: null };
    if (text[separator] !== between) throw new SyntaxError(`${between} is missing`);
    const value = readLiteral(text, separator + 1, form, depth + 1);
    if (value === null) return { members, end: null };
    members.push(`${key!.json}: ${value.json}`);
    i = skip(text, value.end);
    if (text[i] === ',') i = skip(text, i + 1);
    else if (i < text.length && text[i] !== close) throw new SyntaxError('values are not separated by commas');
  }
}

export const skip = (text: string, at: number): number => at + /^\s*/.exec(text.slice(at))![0].length;
