// Pull and hash (docs/spec/store.md §14, brief of the store): a pull from a hub on this machine against `curl` of the same bytes and
// `sha256sum` after it, hashing alone against `sha256sum`, and the memory of a pull. Alone: `node bench/store/pull.ts [MiB]`.
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, open, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { interleave, median, type Row, ratio, resultTable, type Verdict, verdictTable } from '../measure.ts';

export interface StorePart {
  readonly title: string;
  readonly rows: readonly Row[];
  readonly verdicts: readonly Verdict[];
}

const here = import.meta.dirname;

export async function measurePull({ mebibytes = 1024, rounds = 5 }: { readonly mebibytes?: number; readonly rounds?: number } = {}): Promise<StorePart> {
  // In memory where there is such a disk: what is measured is the program, and a busy disk would be most of it.
  const memory = await statfs('/dev/shm').catch(() => null);
  const place = memory !== null && memory.bavail * memory.bsize > 4 * mebibytes * 1024 * 1024 ? '/dev/shm' : tmpdir();
  const directory = await mkdtemp(join(place, 'hearth-bench-pull-'));
  const folder = join(directory, 'files');
  await mkdir(folder);
  await writeFile(join(folder, 'config.json'), '{"model_type":"llama"}');
  const weights = join(folder, 'model.safetensors');
  await writeRandom(weights, mebibytes);
  const hub = spawn(process.execPath, [join(here, 'bulk-hub.ts'), folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const endpoint = await new Promise<string>((resolve) => hub.stdout.once('data', (text: Buffer) => resolve(String(text).trim())));
    const peaks: number[] = [];
    const cpu = { hearth: [] as number[], 'curl + sha256sum': [] as number[] };
    const target = join(directory, 'target');
    const rate = (seconds: number): number => mebibytes / seconds;
    const pull = await interleave(
      `pull of ${mebibytes} MiB, checked`,
      {
        hearth: async () => {
          await fresh(target);
          const child = spawnSync(process.execPath, [join(here, 'pull-once.ts'), endpoint, target], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });
          const { seconds, cpuSeconds, peakBytes } = JSON.parse(child.stdout) as { seconds: number; cpuSeconds: number; peakBytes: number };
          peaks.push(peakBytes / 1e6);
          cpu.hearth.push(cpuSeconds);
          return rate(seconds);
        },
        'curl + sha256sum': async () => {
          await fresh(target);
          const file = join(target, 'file');
          const start = performance.now();
          // curl leaves the file in the page cache; a pull says done only when it is on the disk, and so does `sync`.
          const script = `TIMEFORMAT='%U %S'; time { curl -sS -o "$0" "$1" && sync "$0" && sha256sum "$0" >/dev/null; }`;
          const done = spawnSync('bash', ['-c', script, file, `${endpoint}/org/bulk/resolve/main/model.safetensors`], { encoding: 'utf8' });
          ok(done);
          cpu['curl + sha256sum'].push(
            done.stderr
              .trim()
              .split(' ')
              .reduce((sum, text) => sum + Number(text), 0),
          );
          return rate((performance.now() - start) / 1000);
        },
      },
      { rounds, unit: 'MiB/s' },
    );
    const hash = await interleave(
      `SHA-256 of ${mebibytes} MiB`,
      {
        hearth: async () => {
          const start = performance.now();
          const digest = createHash('sha256');
          for await (const chunk of createReadStream(weights, { highWaterMark: 1024 * 1024 })) digest.update(chunk as Buffer);
          digest.digest();
          return rate((performance.now() - start) / 1000);
        },
        sha256sum: async () => {
          const start = performance.now();
          ok(spawnSync('sha256sum', [weights]));
          return rate((performance.now() - start) / 1000);
        },
      },
      { rounds, unit: 'MiB/s' },
    );
    return {
      title: 'Pull and hash',
      // On a busy machine the clock measures the others too; the time of the processor does not.
      rows: [pull, { what: 'the same, time of the processor', unit: 's', results: cpu, more: false }, hash],
      verdicts: [
        { id: 'pull', what: 'pull from a hub on this machine ÷ curl + sha256sum', value: ratio(pull, 'curl + sha256sum'), bar: 0.9 },
        { id: 'hash', what: 'hashing ÷ sha256sum', value: ratio(hash, 'sha256sum'), bar: 0.8 },
        { id: 'memory', what: `most memory of a process that pulls ${mebibytes} MiB`, value: median(peaks), bar: 250, below: true, unit: 'MB' },
      ],
    };
  } finally {
    hub.kill();
    await rm(directory, { recursive: true, force: true });
  }
}

async function fresh(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory);
}

function ok({ status, error }: { readonly status: number | null; readonly error?: Error }): void {
  if (status !== 0) throw error ?? new Error(`a program of the measurement ended with ${status}`);
}

async function writeRandom(path: string, mebibytes: number): Promise<void> {
  const block = Buffer.alloc(1024 * 1024);
  await using file = await open(path, 'w');
  for (let i = 0; i < mebibytes; i++) await file.write(randomFillSync(block));
}

if (import.meta.main) {
  const { title, rows, verdicts } = await measurePull({ mebibytes: Number(process.argv[2] ?? 1024) });
  console.log([...resultTable(title, rows), ...verdictTable(verdicts)].join('\n'));
}
