import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { randomNumbers } from '../../test/support/random-numbers.ts';
import { keyRedaction, redact, redactFields, registerSecret, shortenHome } from './redact.ts';
import { createStreamRedactor } from './stream-redactor.ts';

const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
const ALNUM = `${UPPER}${UPPER.toLowerCase()}0123456789`;

function seeded(seed: number) {
  const random = randomNumbers(seed);
  const below = (count: number): number => Math.floor(random() * count);
  const pick = <T>(values: readonly T[]): T => values[below(values.length)]!;
  const text = (length: number, letters = ALNUM): string => Array.from({ length }, () => letters[below(letters.length)]!).join('');
  const url = (length: number): string => text(length, `${ALNUM}-_`);
  /** Each kind of section 11: the secret, and a text around it where the kind lives by its surroundings. */
  const kinds: Record<string, () => readonly [secret: string, around: (secret: string) => string]> = {
    hub: () => [`hf_${text(30 + below(8))}`, (s) => s],
    openai: () => [`sk-${pick(['', 'proj-', 'ant-api03-'])}${url(24 + below(60))}`, (s) => s],
    github: () => [pick([() => `gh${pick([...'pousr'])}_${text(36)}`, () => `github_pat_${text(22)}_${text(59)}`])(), (s) => s],
    aws: () => [`${pick(['AKIA', 'ASIA'])}${text(16, `${UPPER}0123456789`)}`, (s) => s],
    awsSecret: () => [text(40, `${ALNUM}+/`), (s) => `aws_secret_access_key=${s}`],
    npm: () => [`npm_${text(36)}`, (s) => s],
    slack: () => [`xox${pick([...'abprs'])}-${text(12, '0123456789')}-${text(24)}`, (s) => s],
    own: () => [`hth_${text(12)}_${url(43)}`, (s) => s],
    jwt: () => [`eyJ${url(30)}.eyJ${url(60 + below(300))}.${url(43)}`, (s) => s],
    pem: () => [
      `-----BEGIN ${pick(['', 'RSA ', 'EC ', 'OPENSSH ', 'ENCRYPTED '])}PRIVATE KEY-----\n${Array.from({ length: 3 + below(20) }, () => text(64, `${ALNUM}+/`)).join('\n')}\n-----END PRIVATE KEY-----`,
      (s) => s,
    ],
    bearer: () => [url(20 + below(40)), (s) => `Authorization: Bearer ${s}`],
    basic: () => [Buffer.from(`ada:${text(12)}`).toString('base64'), (s) => `authorization: Basic ${s}`],
    userinfo: () => [`${text(5)}:${text(10)}`, (s) => `${pick(['https', 'redis', 'postgres'])}://${s}@host.example/path`],
    query: () => [url(16 + below(30)), (s) => `https://host.example/x?a=1&${pick(['token', 'access_token', 'api_key', 'sig', 'X-Amz-Signature'])}=${s}&b=2`],
    password: () => [text(6 + below(10), `${ALNUM}!?%*`), (s) => pick([`password=${s}`, `{"password":"${s}"}`, `"passphrase": "${s}"`, `MYSQL_PASSWORD=${s}`])],
    cookie: () => [`session=${url(32)}`, (s) => `Cookie: ${s}`],
    named: () => [
      url(24),
      (s) => pick([`"client_secret":"${s}"`, `{\\"api_key\\":\\"${s}\\"}`, `x-api-key: ${s}`, `{"accessToken": "${s}"}`, `refresh_token=${s}0`]),
    ],
  };
  const words = 'the model answered a long question about rivers while somebody else asked for a list of files and their sizes'.split(' ');
  const prose = (count: number): string => Array.from({ length: count }, () => pick(words)).join(' ');
  return { kinds, below, pick, prose };
}

/** Whether six characters in a row of the secret's own text are left. */
function leaks(secret: string, told: string): boolean {
  const core = secret.startsWith('-----') ? secret.split('\n').slice(1, -1).join('\n') : secret;
  for (let at = 0; at + 10 <= core.length; at += 1) if (told.includes(core.slice(at, at + 10))) return true;
  return core.length < 10 && told.includes(core);
}

describe('redaction', () => {
  it('[security G64] at least 98 % of a seeded set of secrets is caught, in every kind, whole or in a stream cut anywhere', () => {
    const { kinds, below, pick, prose } = seeded(64);
    const missed: Record<string, number> = {};
    let count = 0;
    for (const [kind, make] of Object.entries(kinds)) {
      for (let round = 0; round < 60; round += 1) {
        const [secret, around] = make();
        const text = `${prose(below(30))}${pick([' ', '\n', ': ', ' "'])}${around(secret)}${pick(['', ' ', '\n', '" ', '\r\n'])}${prose(below(10))}`;
        count += 1;
        const stream = createStreamRedactor();
        let told = '';
        for (let at = 0; at < text.length; ) {
          const step = 1 + below(pick([2, 40]));
          told += stream.push(text.slice(at, at + step));
          at += step;
        }
        told += stream.end();
        if (leaks(secret, redact(text)) || leaks(secret, told)) missed[kind] = (missed[kind] ?? 0) + 1;
      }
    }
    const all = Object.values(missed).reduce((sum, each) => sum + each, 0);
    expect(all / count, JSON.stringify(missed)).toBeLessThanOrEqual(0.02);
    for (const [kind, each] of Object.entries(missed)) expect(each / 60, kind).toBeLessThan(0.1);
  });

  it('[security G64] fewer than 1 % of normal prompts are changed', () => {
    const prompts = [...proseOf(join(import.meta.dirname, '../../docs')), ...proseOf(join(import.meta.dirname, '../../node_modules'), 60), ...PROMPTS];
    expect(prompts.length).toBeGreaterThan(2_000);
    const changed = prompts.filter((prompt) => redact(prompt) !== prompt);
    expect(changed.length / prompts.length, changed.slice(0, 20).join('\n---\n')).toBeLessThan(0.01);
    // Those that were written to be mistaken are few, so that they count by themselves.
    expect(PROMPTS.filter((prompt) => redact(prompt) !== prompt)).toEqual([]);
  });

  it('a known secret is caught in base64 at any place, URL-encoded and escaped, and has one fingerprint in all forms', () => {
    const secret = 'p+ss/w"rd ünder\\cover-9';
    registerSecret('redis-password', secret);
    const forms = [
      secret,
      JSON.stringify(secret),
      JSON.stringify(JSON.stringify({ inner: secret })),
      encodeURIComponent(secret),
      new URLSearchParams({ q: secret }).toString(),
      ...['', 'a', 'ab', 'user:'].map((before) => Buffer.from(`${before}${secret}tail`).toString('base64')),
      encodeURIComponent(JSON.stringify(secret)),
      ...['', 'a', 'ab'].map((before) => Buffer.from(`${before}${secret}`).toString('base64url')),
    ];
    const marks = forms.map((form) => redact(`x ${form} y`).match(/\[redacted:redis-password:[0-9a-f]{8}\]/g));
    expect(marks.map((found) => found?.length)).toEqual(forms.map(() => 1));
    expect(new Set(marks.flat()).size).toBe(1);
  });

  it('fingerprints tell equal secrets of an installation, and nothing to another one', () => {
    const token = `hf_${'q'.repeat(34)}`;
    keyRedaction(Buffer.alloc(32, 1));
    const first = redact(token);
    expect(redact(`again ${token}`)).toBe(`again ${first}`);
    expect(redact(`hf_${'r'.repeat(34)}`)).not.toBe(first);
    keyRedaction(Buffer.alloc(32, 2));
    expect(redact(token)).not.toBe(first);
    expect(first).toMatch(/^\[redacted:hub-token:[0-9a-f]{8}\]$/);
  });

  it('names of fields count at any depth and in any spelling; counts and tokens of a vocabulary do not', () => {
    const told = redactFields({
      headers: {
        'X-Api-Key': 'abc',
        Authorization: 'Basic x',
        list: [{ proxyAuthorization: 'y', deeper: { client_secret: 'z', credentials: { user: 'u', pass: ['p'] } } }],
      },
      password: 12345678,
      max_tokens: 5,
      usage: { prompt_tokens: 3 },
      bos_token: '<s>',
      eos_token_id: 2,
      token: 17,
      logprobs: { content: [{ token: 'the', logprob: -1 }] },
      plain: 'plain',
    });
    expect(told).toMatchObject({ max_tokens: 5, usage: { prompt_tokens: 3 }, bos_token: '<s>', eos_token_id: 2, token: 17, plain: 'plain' });
    expect(told.logprobs.content[0]!.token).toBe('the');
    const text = JSON.stringify(told);
    expect(text.match(/\[redacted:/g)).toHaveLength(7);
    for (const secret of ['abc', 'Basic x', '"y"', '"z"', '"u"', '"p"', '12345678']) expect(text).not.toContain(secret);
    const cycle: Record<string, unknown> = { password: 'xyzxyz' };
    cycle['self'] = cycle;
    expect(JSON.stringify(redactFields(cycle))).not.toContain('xyzxyz');
  });

  it('a secret in a path, a query, a JSON pointer or an escaped text is found where it stands', () => {
    const secret = 'ada:s3cretword';
    for (const text of [
      `#/https:~1~1${secret}@host~1x: wrong`,
      `/v1/models/https%3A%2F%2Fada%3As3cretword%40host`,
      String.raw`{"url":"https:\/\/${secret}@host"}`,
    ]) {
      const told = redact(text);
      expect(told).not.toContain('s3cretword');
      expect(told.replace(/\[redacted:userinfo:[0-9a-f]{8}\]/, 'X').length).toBe(text.length - (text.includes('%3As') ? secret.length + 2 : secret.length) + 1);
    }
  });

  it('what was stripped once stays as it is', () => {
    const { kinds } = seeded(65);
    for (const make of Object.values(kinds)) {
      const [secret, around] = make();
      const once = redact(around(secret));
      expect(redact(once)).toBe(once);
      expect(redactFields({ password: once, deep: [once] }).deep[0]).toBe(once);
    }
  });

  it('a key that has no end is held for 16 KiB, then let go without it', () => {
    const stream = createStreamRedactor();
    const line = `${'A'.repeat(63)}\n`;
    let told = stream.push('before\n-----BEGIN PRIV');
    told += stream.push('ATE KEY-----\n');
    for (let count = 0; count < 200; count += 1) told += stream.push(line);
    expect(told).toBe('before\n');
    for (let count = 0; count < 200; count += 1) told += stream.push(line);
    expect(told).toMatch(/^before\n\[redacted:private-key:[0-9a-f]{8}\]A+\n/);
  });

  it('looks over a text that is made to be slow a bounded number of times', () => {
    // Each of these took minutes with patterns that start anew within what they looked over.
    for (const piece of [
      'eyJ-',
      'eyJa.',
      '-----BEGIN PRIVATE KEY-----',
      'a://',
      'password',
      'Bearer ',
      'sk-',
      'x-',
      'token="',
      'hf_a',
      '\\',
      '[redacted:',
      '%20',
      '~1',
      '\\u0041',
      '%41%3d',
    ])
      redact(piece.repeat(Math.ceil(1_000_000 / piece.length)));
  }, 20_000);

  it('shortens the home only where it is a whole part of a path', () => {
    expect(shortenHome('/home/ada/x /home/adam /home/ada', '/home/ada')).toBe('~/x /home/adam ~');
  });
});

/** Paragraphs of Markdown, as people write to people. */
function proseOf(directory: string, files = 1000): string[] {
  const names = readdirSync(directory, { withFileTypes: true });
  const paths = names.flatMap((entry) => {
    if (entry.isFile() && entry.name.endsWith('.md')) return [join(directory, entry.name)];
    if (!entry.isDirectory()) return [];
    if (!directory.endsWith('node_modules'))
      return readdirSync(join(directory, entry.name))
        .filter((name) => name.endsWith('.md'))
        .map((name) => join(directory, entry.name, name));
    return readdirSync(join(directory, entry.name))
      .filter((name) => name === 'README.md')
      .map((name) => join(directory, entry.name, name));
  });
  return paths.slice(0, files).flatMap((path) =>
    readFileSync(path, 'utf8')
      .split(/\n\s*\n/)
      .filter((part) => part.trim().length > 20),
  );
}

/** Prompts that speak of secrets, and hold none. */
const PROMPTS = [
  'How do I reset my password? The page says: password: required.',
  'Explain what a bearer token is, and how a token differs from a cookie.',
  'What does max_tokens=512 mean, and is it the same as max_completion_tokens?',
  'const token = tokenizer.next(); if (token === null) return;',
  'The eos_token: </s> and the pad_token: <pad> are the same here.',
  'export HF_TOKEN=$MY_TOKEN && hearth pull org/model',
  'Write a regular expression that matches sk-learn, task-force-one and desk-top.',
  'Where is Asia, and what is the largest city there? ASIA is a continent.',
  'Commit 3f2a9c0d1e4b5a6978877665544332211aabbccd broke the build.',
  'The id is 018f3c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f, please look it up.',
  'Secret: the ingredient is cinnamon. Keep the secret.',
  'https://example.org/search?q=token&page=2#key',
  'See https://user-guide.example.org/@someone/posts and mail me at ada@example.org',
  'The session cookie: explain SameSite, HttpOnly and Secure.',
  'credentials are stored by the browser; authorization: what is it?',
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk',
  'def authenticate(user, password=None, token=None): return check(user, password)',
  'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
];
