// What the verdict before a load costs: an unchanged model over an unverified one in milliseconds, and the first hash beside sha256sum on all cores.
//   node bench/verified-load.ts [DIRECTORY of a model; absent: 1 GiB of random bytes in 8 files]
import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ModelFacts } from '../src/core/index.ts';
import { makeModelView } from '../src/engines/model-text/model-view.ts';
import { createAdmittedModels } from '../src/gateway/admitted-models.ts';
import { createTrust, type ModelTrust } from '../src/security/index.ts';

const ROUNDS = 40;
const HASH_ROUNDS = 5;
const never = new AbortController().signal;
const work = mkdtempSync(join(tmpdir(), 'hearth-verified-load-'));

function randomModel(): string {
  const directory = join(work, 'model');
  mkdirSync(directory);
  const bytes = randomFillSync(new Uint8Array(128 * 2 ** 20));
  writeFileSync(join(directory, 'config.json'), '{}');
  for (let i = 0; i < 8; i += 1) writeFileSync(join(directory, `model-0000${i + 1}-of-00008.safetensors`), bytes.fill(i, 0, 16));
  return directory;
}

const median = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]!;
const trustIn = (home: string) => createTrust({ home, cacheDirectory: join(work, 'no-cache'), workspaceHome: null });

/** What stands before and after an engine's own work in a load: its view, and around it the verdict. */
async function surroundings(trust: ModelTrust | undefined, directory: string): Promise<number> {
  const start = performance.now();
  const admitted = createAdmittedModels(trust, never);
  const facts: ModelFacts = { directory, framework: 'MLX', architecture: null, config: {}, weightFiles: [], weightBytes: 0, hasChatTemplate: false };
  await admitted.prepare({ id: 'bench', hash: null, facts }, async (of) => ({
    facts: of,
    directory: await makeModelView(of.directory, join(work, 'views')),
    sourceDirectory: of.directory,
  }));
  await admitted.recheck();
  return performance.now() - start;
}

try {
  const directory = process.argv[2] === undefined ? randomModel() : resolve(process.argv[2]);
  const files = readdirSync(directory)
    .filter((name) => /\.(safetensors|gguf|json|txt|model|jinja)$/.test(name))
    .map((name) => join(directory, name));
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);

  const first: number[] = [];
  const plain: number[] = [];
  for (let round = 0; round < HASH_ROUNDS; round += 1) {
    const trust = trustIn(join(work, `home-${round}`));
    const start = performance.now();
    await trust.admit({ id: 'bench', directory });
    first.push(performance.now() - start);
    trust.close();
    const before = performance.now();
    execFileSync('xargs', ['-0', '-n', '1', '-P', String(availableParallelism()), 'sha256sum'], {
      input: files.join('\0'),
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    plain.push(performance.now() - before);
  }
  const ratio = median(plain) / median(first);
  process.stdout.write(
    `first verdict   ${(bytes / 2 ** 20).toFixed(0)} MiB in ${median(first).toFixed(0)} ms; sha256sum on ${availableParallelism()} cores ${median(plain).toFixed(0)} ms; ${ratio.toFixed(2)} × its speed (goal ≥ 0.80)\n`,
  );

  const trust = trustIn(join(work, 'home-0'));
  const unverified: number[] = [];
  const verified: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    unverified.push(await surroundings(undefined, directory));
    verified.push(await surroundings(trust, directory));
  }
  trust.close();
  const extra = verified.map((time, i) => time - unverified[i]!);
  process.stdout.write(
    `unchanged model ${median(verified).toFixed(2)} ms around a load with the verdict, ${median(unverified).toFixed(2)} ms without; ${median(extra).toFixed(2)} ms more (goal ≤ 10)\n`,
  );
} finally {
  rmSync(work, { recursive: true, force: true });
}
