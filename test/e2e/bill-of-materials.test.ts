import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { cycloneDxErrors, schemaErrors } from '../support/bom-schema.ts';
import { temporaryDirectory } from '../support/engine-run.ts';
import { runInProcess } from '../support/run-cli.ts';
import { writeStoreFixtures } from '../support/store-fixtures.ts';
import { cacheModel } from '../support/temp-store.ts';

interface Component {
  readonly type: string;
  readonly name: string;
  readonly group?: string;
  readonly version?: string;
  readonly purl?: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly components?: readonly Component[];
  readonly [field: string]: unknown;
}
interface Bill {
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
  readonly compositions: readonly { readonly aggregate: string; readonly assemblies?: readonly string[]; readonly dependencies?: readonly string[] }[];
}

const CARD = `---
license: apache-2.0
base_model: org/base
datasets: [org/corpus]
pipeline_tag: text-generation
model-index:
- name: tuned
  results:
  - dataset: {name: Quiz}
    metrics:
    - {type: accuracy, value: 0.75}
---
A model.
`;
const WEIGHTS = 'weights of the tuned model';
const COMMIT = 'c'.repeat(40);
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const directory = temporaryDirectory();
const facts = { directory: directory.path, env: { HF_HOME: join(directory.path, 'hf') } };
let lockedPython: readonly string[] = [];

beforeAll(async () => {
  await writeStoreFixtures(directory.path);
  const config = { model_type: 'llama', architectures: ['LlamaForCausalLM'] };
  const files = { 'config.json': JSON.stringify(config), 'model.safetensors': WEIGHTS, 'README.md': CARD, 'model.sig': '{}', 'training.intoto.json': '{}' };
  await cacheModel(join(directory.path, 'hf', 'hub'), 'org/tuned', files, { commit: COMMIT });
  const adapter = join(directory.path, 'home/adapters/tone');
  mkdirSync(adapter, { recursive: true });
  writeFileSync(
    join(adapter, 'adapter_config.json'),
    JSON.stringify({ fine_tune_type: 'lora', model: 'org/tuned', num_layers: 2, lora_parameters: { rank: 8, scale: 20 } }),
  );
  writeFileSync(join(adapter, 'adapters.safetensors'), 'weights of the adapter');
  lockedPython = installPython();
  return () => directory[Symbol.dispose]();
});

/** What an installation leaves: the metadata of each package of a lock, one library, the list of files. */
function installPython(): readonly string[] {
  const locks = join(import.meta.dirname, '../../python/locks');
  const name = readdirSync(locks).find((each) => each.startsWith(`mlx-${process.platform}-${process.arch}-py312`)) ?? 'mlx-linux-x64-py312.txt';
  const text = readFileSync(join(locks, name), 'utf8');
  const id = sha256(text).slice(0, 12);
  const place = join(directory.path, 'home', 'engines', 'mlx', id);
  const site = join(place, 'lib', 'python3.12', 'site-packages');
  const pairs = text.split('\n').flatMap((line) => /^([^#=]+)==(\S+)/.exec(line)?.slice(1, 3).join('==') ?? []);
  for (const pair of pairs) {
    const [name_, version] = pair.split('==') as [string, string];
    mkdirSync(join(site, `${name_}-${version}.dist-info`), { recursive: true });
    const wants = name_ === 'mlx-lm' ? 'Requires-Dist: mlx>=0.1\nRequires-Dist: NumPy\nRequires-Dist: numpy; extra == "x"\n' : '';
    writeFileSync(
      join(site, `${name_}-${version}.dist-info`, 'METADATA'),
      `Metadata-Version: 2.1\nName: ${name_}\nVersion: ${version}\nLicense: MIT\n${wants}\nText\n`,
    );
  }
  writeFileSync(join(site, 'core.so'), 'machine code');
  writeFileSync(join(place, 'manifest.json'), JSON.stringify({ 'lib/python3.12/site-packages/core.so': sha256('machine code') }));
  writeFileSync(join(directory.path, 'home', 'engines', 'mlx', 'current'), `${id}\n`);
  return pairs;
}

async function bill<T = Bill>(...options: string[]): Promise<T> {
  const { code, stdout, stderr } = await runInProcess(['sbom', ...options], facts);
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as T;
}

const refsOf = (components: readonly Component[]): string[] => components.flatMap((each) => [each['bom-ref'] as string, ...refsOf(each.components ?? [])]);

describe.each(['1.6', '1.7'] as const)('CycloneDX %s', (version) => {
  test('[security G66] is what the published schema asks for; every package of the lock, of the Python environment, and every model is in it; no reference leads nowhere', async () => {
    const it = await bill('--spec', version);
    expect(cycloneDxErrors(version, it)).toEqual([]);
    const purls = new Set(it.components.map(({ purl }) => purl));

    const lock = JSON.parse(readFileSync(join(import.meta.dirname, '../../package-lock.json'), 'utf8')) as {
      packages: Record<string, { version?: string; link?: boolean }>;
    };
    const locked = Object.entries(lock.packages).filter(([path, { link }]) => path.includes('node_modules/') && link !== true);
    expect(locked.length).toBeGreaterThan(100);
    const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 13);
    const missing = locked.filter(([path, each]) => !purls.has(`pkg:npm/${nameOf(path).replace('@', '%40')}@${encodeURIComponent(each.version!)}`));
    expect(missing).toEqual([]);

    const python = it.components.filter(({ purl }) => purl?.startsWith('pkg:pypi/'));
    expect(python.map(({ name, version: its }) => `${name}==${its}`).sort()).toEqual([...lockedPython].sort());
    expect(python.every(({ hashes }) => hashes?.[0]?.alg === 'SHA-256')).toBe(true);
    expect(it.dependencies.find(({ ref }) => ref === 'pypi:mlx-lm')?.dependsOn).toEqual(['pypi:mlx', 'pypi:numpy']);

    const list = await runInProcess(['list', '--json'], facts);
    const models = (JSON.parse(list.stdout) as { data: { models: { name: string }[] } }).data.models.map(({ name }) => name);
    const listed = it.components
      .filter(({ type }) => type === 'machine-learning-model')
      .map(({ group, name }) => (group === undefined ? name : `${group}/${name}`));
    expect(models.length).toBeGreaterThan(5);
    expect([...listed].sort()).toEqual([...models, 'adapters/tone'].sort());

    const refs = [it.metadata.component['bom-ref'] as string, ...refsOf(it.components)];
    expect(new Set(refs).size).toBe(refs.length);
    const named = [
      ...it.dependencies.flatMap(({ ref, dependsOn }) => [ref, ...dependsOn]),
      ...it.compositions.flatMap(({ assemblies = [], dependencies = [] }) => [...assemblies, ...dependencies]),
      ...[...JSON.stringify(it.components).matchAll(/"datasets":\[\{"ref":"([^"]+)"/g)].map(([, ref]) => ref!),
    ];
    expect(named.filter((ref) => !refs.includes(ref))).toEqual([]);
    expect(it.components.find(({ name }) => name === 'ember/ember.wasm')?.hashes?.[0]?.content).toBe(
      createHash('sha256')
        .update(readFileSync(join(import.meta.dirname, '../../src/ember/ember.wasm')))
        .digest('hex'),
    );
    expect(it.components.find(({ type }) => type === 'platform')?.['isExternal']).toBe(version === '1.7' ? true : undefined);
  });

  test('a model is told with its origin, licence, base, card, files and signature, alone too', async () => {
    const it = await bill('--spec', version, '--model', 'org/tuned');
    expect(cycloneDxErrors(version, it)).toEqual([]);
    expect(it.metadata.component).toMatchObject({
      type: 'machine-learning-model',
      group: 'org',
      name: 'tuned',
      version: COMMIT,
      purl: `pkg:huggingface/org/tuned@${COMMIT}`,
      licenses: [{ expression: 'Apache-2.0' }],
      pedigree: { ancestors: [{ name: 'org/base' }], commits: [{ uid: COMMIT }] },
      modelCard: {
        modelParameters: { task: 'text-generation', architectureFamily: 'llama', datasets: [{ ref: 'dataset:org/corpus' }] },
        quantitativeAnalysis: { performanceMetrics: [{ type: 'accuracy', value: '0.75', slice: 'Quiz' }] },
      },
      externalReferences: [{ type: 'model-card' }, { type: 'digital-signature', url: 'model.sig' }, { type: 'attestation', url: 'training.intoto.json' }],
    });
    const files = Object.fromEntries((it.metadata.component.components ?? []).map(({ name, hashes }) => [name, hashes?.[0]?.content]));
    expect(files).toMatchObject({ 'model.safetensors': sha256(WEIGHTS), 'README.md': sha256(CARD) });
  });
});

test('adapters of the home are told with the base that they were made for', async () => {
  const { components } = await bill();
  const adapter = components.find(({ group, name }) => group === 'adapters' && name === 'tone')!;
  expect(adapter).toMatchObject({ type: 'machine-learning-model', purl: 'pkg:generic/adapters/tone', pedigree: { ancestors: [{ name: 'org/tuned' }] } });
  expect((adapter.components ?? []).map(({ name, hashes }) => [name, hashes?.[0]?.content])).toContainEqual([
    'adapters.safetensors',
    sha256('weights of the adapter'),
  ]);
  // Beside the model that it was made from, it is another form of it.
  const base = components.find(({ group, name }) => group === 'org' && name === 'tuned')!;
  expect(base).toMatchObject({ pedigree: { variants: [{ name: 'adapters/tone' }] } });
});

const schemaPath = process.env['HEARTH_TEST_SPDX_SCHEMA'];

interface Spdx {
  readonly packages: readonly { readonly SPDXID: string; readonly name: string }[];
  readonly files: readonly { readonly SPDXID: string }[];
  readonly relationships: readonly { readonly spdxElementId: string; readonly relatedSpdxElement: string }[];
}

describe('SPDX 2.3', () => {
  test('holds the same packages and models; each relation joins two elements of the document', async () => {
    const it = await bill<Spdx>('--format', 'spdx');
    const ids = ['SPDXRef-DOCUMENT', ...it.packages.map(({ SPDXID }) => SPDXID), ...it.files.map(({ SPDXID }) => SPDXID)];
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => !/^SPDXRef-[A-Za-z0-9.-]+$/.test(id))).toEqual([]);
    expect(it.relationships.filter((each) => !ids.includes(each.spdxElementId) || !ids.includes(each.relatedSpdxElement))).toEqual([]);
    expect(it.packages.map(({ name }) => name)).toEqual(expect.arrayContaining(['hearth', 'zod', 'mlx', 'org/tuned', 'node']));
  });

  test.skipIf(schemaPath === undefined)(
    'is what its published schema asks for (skipped: HEARTH_TEST_SPDX_SCHEMA names no spdx-schema.json of version 2.3)',
    async () => {
      expect(schemaErrors(JSON.parse(readFileSync(schemaPath!, 'utf8')) as object, await bill('--format', 'spdx'))).toEqual([]);
    },
  );
});
