// Runs MLX Knife 2.0.7 and hearth over the same cache and workspaces and prints every difference of their JSON documents and exit codes.
//   python3 -m venv .env-peers/mlx-knife && .env-peers/mlx-knife/bin/pip install mlx-knife==2.0.7 'mlx[cpu]==0.31.2'
//   npx node bench/mlx-knife.ts          exits with 1 when a difference is not explained below
// docs/guide/mlx-knife.md tells the differences to people.
import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startFakeHub } from '../test/support/fake-hub.ts';
import { runInProcess } from '../test/support/run-cli.ts';
import { writeStoreFixtures } from '../test/support/store-fixtures.ts';
import { mlxModel, safetensorsBytes, writeFiles } from '../test/support/temp-store.ts';

const mlxk = join(process.env['MLX_KNIFE'] ?? join(import.meta.dirname, '../.env-peers/mlx-knife'), 'bin/mlxk');

interface Answer {
  readonly code: number;
  readonly document: Record<string, unknown>;
}

/** Where a difference is, such as `list org/x reason`, and why it is meant. */
const EXPLAINED: readonly (readonly [where: RegExp, why: string])[] = [
  [/ (cli_version|json_api_spec_version|system.*)$/, 'each tool names its own version'],
  [/ metadata\.\w+$/, 'metadata looks into text_config, and is null where there is nothing'],
  [/^health summary\./, 'the counts of the verdicts above'],
  [/ managed$/, 'an entry of health is closed in the schema: the reference adds a field'],
  [/ quantization$/, 'hearth gives `quantization` in list too, and null where there is none'],
  [/ (reachable|file_details|conversion|trust)$/, 'a field of hearth alone'],
  [/org\/two-revisions.* (hash|last_modified|metadata\.hidden_size|size_bytes)$/, 'hearth takes what refs/main names, the reference the newest directory'],
  [/(ision|gemma3n|whisper|vibevoice).* (runtime_compatible|reason)$/, 'no engine of this version takes images or sound'],
  [/org\/(pytorch-plain|bf16-mlx-header|gguf-alone|gguf-with-config) /, 'hearth runs GGUF, plain safetensors, and MLX models told by their header'],
  [/org\/(partial|temporary|partial-in-a-name|indexed-partial) /, 'markers are endings of names, are found beside an index too, and are named'],
  [/org\/sentencepiece /, 'tokenizer.model is a tokenizer'],
  [/org\/vision-embedded-processor /, 'a processor inside config.json is accepted'],
  [/org\/shard-(missing|mismatch) reason$/, 'missing shards are told apart from an index of other names; the way out names hearth'],
  [/org\/template-list /, 'a list of named templates is a chat template'],
  [/org\/(xlm-roberta|strange-type) reason$/, 'other words'],
  [/^show org\/two-revisions@ffff error\.type$/, 'an unknown revision is told apart from an unknown model'],
  [/^show a\/\/b error\.type$/, 'a malformed name is refused as such'],
  [/^show {2}/, 'the empty name is refused; the reference shows the first model'],
  [/ error\.(code|hint|retryable|detail|message|matches)$/, 'hearth adds fields to the error; the words are its own'],
  [/ error\.available_hashes$/, 'hearth lists what is there'],
];

async function runMlxKnife(args: readonly string[], env: Readonly<Record<string, string>>, cwd: string): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    execFile(mlxk, [...args, '--json'], { env: { PATH: process.env['PATH'] ?? '', ...env }, cwd, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code);
      try {
        resolve({ code, document: JSON.parse(stdout) as Record<string, unknown> });
      } catch {
        reject(new Error(`mlxk ${args.join(' ')} printed no JSON (exit ${code}): ${stdout.slice(0, 500)}${stderr.slice(0, 500)}`));
      }
    });
  });
}

async function runHearth(args: readonly string[], env: Readonly<Record<string, string>>, cwd: string): Promise<Answer> {
  const { code, stdout } = await runInProcess([...args, '--json'], { directory: cwd, env });
  return { code, document: JSON.parse(stdout) as Record<string, unknown> };
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Rows of models, files and verdicts are compared by their names. */
const keyed = (value: unknown): unknown =>
  Array.isArray(value) && value.every((row) => isObject(row) && typeof row['name'] === 'string')
    ? Object.fromEntries(value.map((row) => [(row as { name: string }).name, row]))
    : value;

function* differences(where: string, theirs: unknown, ours: unknown): Generator<{ where: string; theirs: unknown; ours: unknown }> {
  const [a, b] = [keyed(theirs), keyed(ours)];
  if (isObject(a) && isObject(b)) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)]))
      yield* differences(`${where}${where.endsWith(' ') ? '' : '.'}${key}${key.includes('/') ? ' ' : ''}`, a[key], b[key]);
  } else if (JSON.stringify(a) !== JSON.stringify(b)) yield { where, theirs: a, ours: b };
}

const directory = await mkdtemp(join(tmpdir(), 'hearth_test_mlxk_'));
let unexplained = 0;
try {
  const { hfHome, workspaceHome, elsewhere } = await writeStoreFixtures(directory);
  const env = { HOME: directory, HF_HOME: hfHome, MLXK_WORKSPACE_HOME: workspaceHome, HEARTH_HOME: join(directory, 'home') };
  const used = new Map<string, number>();
  const both = async (title: string, ...args: string[]): Promise<readonly [Answer, Answer]> => {
    const theirs = await runMlxKnife(args, env, elsewhere);
    const ours = await runHearth(args, env, elsewhere);
    const found = [...differences(`${title} `, { exit: theirs.code, ...flat(theirs.document) }, { exit: ours.code, ...flat(ours.document) })];
    for (const difference of found) {
      const why = EXPLAINED.find(([where]) => where.test(difference.where))?.[1];
      if (why !== undefined) used.set(why, (used.get(why) ?? 0) + 1);
      else {
        unexplained++;
        console.log(`${difference.where}: mlxk ${JSON.stringify(difference.theirs)}, hearth ${JSON.stringify(difference.ours)}`);
      }
    }
    return [theirs, ours];
  };
  /** The fields of `data` beside those of the envelope: shorter names of places. */
  const flat = ({ data, error, ...rest }: Record<string, unknown>): Record<string, unknown> => ({
    ...rest,
    ...(isObject(data) ? data : { data }),
    ...(isObject(error) ? { error } : {}),
  });

  await both('list', 'list');
  await both('list', 'list', 'READ');
  for (const pattern of ['.', './gemma', './gemma-one', `${elsewhere}/gem`, './nothing']) await both(`list ${pattern}`, 'list', pattern);
  await both('health', 'health');
  for (const name of ['org/pytorch', 'unmanaged', './other', 'broken', 'org/two-revisions@aaaa', 'nothing-like-it'])
    await both(`health ${name}`, 'health', name);
  await both('show ./gemma-one --files', 'show', './gemma-one', '--files');
  await both('show Llama-4bit', 'show', 'Llama-4bit', '--config');
  for (const name of ['bert-enc', 'org/nested-text-config', 'org/two-revisions@bbbb', 'unmanaged', 'old-format']) await both(`show ${name}`, 'show', name);
  for (const name of ['nothing-like-it', 'whisper', './nothing', 'org/two-revisions@ffff', 'a//b', '']) await both(`show ${name}`, 'show', name);

  // The same content hash, by either tool, for the same tree.
  const sentinel = join(workspaceHome, 'hashed', '.mlxk_workspace.json');
  await cp(join(workspaceHome, 'unmanaged'), join(workspaceHome, 'hashed'), { recursive: true });
  const hashOf = async (side: typeof runHearth): Promise<unknown> => {
    await writeFile(
      sentinel,
      JSON.stringify({ mlxk_version: '2.0.4', managed: true, source_repo: 'org/x', operation: 'clone', created_at: '2026-01-01T00:00:00Z' }),
    );
    const { document } = await side(['show', 'hashed', '--recalc-hash'], env, elsewhere);
    return ((document['data'] as Record<string, unknown>)['model'] as Record<string, unknown>)['content_hash'];
  };
  const ours = await hashOf(runHearth);
  await both('show hashed by hearth', 'show', 'hashed');
  const theirs = await hashOf(runMlxKnife);
  await both('show hashed by mlxk', 'show', 'hashed');
  if (theirs !== ours) {
    unexplained++;
    console.log(`content hash: mlxk ${String(theirs)}, hearth ${String(ours)}`);
  }

  // What one pulled, the other finds whole (from a hub on this machine).
  const repositories = join(directory, 'repositories');
  const weights = { 'model.safetensors': safetensorsBytes({ 'a.weight': [4, 4] }) };
  for (const name of ['one', 'two']) await writeFiles(join(repositories, 'org', name, 'main'), mlxModel(weights));
  await using hub = await startFakeHub(repositories, {});
  const online = { ...env, HF_HOME: join(directory, 'pulled'), HF_ENDPOINT: hub.endpoint, HEARTH_HUB_CDN_HOSTS: hub.cdnHost, HF_HUB_DISABLE_XET: '1' };
  for (const [name, pulls, looks] of [
    ['org/one', runHearth, runMlxKnife],
    ['org/two', runMlxKnife, runHearth],
  ] as const) {
    const pulled = await pulls(['pull', name], online, elsewhere);
    const { healthy } = (await looks(['health', name], online, elsewhere)).document['data'] as { healthy: { name: string }[] };
    if (pulled.code !== 0 || healthy[0]?.name !== name) {
      unexplained++;
      console.log(`${name} was pulled by one tool and is not whole for the other`);
    }
  }

  for (const lists of [runHearth, runMlxKnife]) {
    const { models } = (await lists(['list'], online, elsewhere)).document['data'] as { models: { name: string }[] };
    const names = models.map(({ name }) => name).filter((name) => name.startsWith('org/'));
    if (names.toSorted().join() !== 'org/one,org/two') {
      unexplained++;
      console.log(`a list of what both pulled has ${names.join()}`);
    }
  }

  // A config.json that is a list: the reference gives up on the whole list, hearth names the model.
  await writeFile(join(workspaceHome, 'hashed', 'config.json'), '[1]');
  const broken = await runHearth(['list'], env, elsewhere);
  if (broken.code !== 0) unexplained++;

  console.log(`\n${unexplained} differences without an explanation. Explained:`);
  for (const [why, count] of used) console.log(`  ${String(count).padStart(4)}  ${why}`);
} finally {
  await rm(directory, { recursive: true, force: true });
}
process.exitCode = unexplained === 0 ? 0 : 1;
