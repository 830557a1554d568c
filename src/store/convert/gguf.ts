import { createHash, randomBytes } from 'node:crypto';
import { lstat, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HearthError, writeFileAtomic } from '../../core/index.ts';
import { type ConversionReport, exportGguf, fillDirectory, ggufPartPaths, importGguf } from '../../formats/index.ts';
import type { ConvertJob, ConvertOutcome } from '../convert.ts';
import { hashFile } from '../hash-file.ts';
import { passIntake } from '../pass-intake.ts';
import { checkClean } from '../workspace/clean-check.ts';
import { pinWorkspace } from '../workspace/pin-workspace.ts';
import { readSentinel, type Sentinel } from '../workspace/sentinel.ts';
import { statementOf } from './conversion-summary.ts';

/** `--to gguf`: the weights of an MLX checkpoint as the same numbers in a GGUF file; a target `x.gguf` is that file, any other a directory. */
export async function exportToGguf(job: ConvertJob): Promise<ConvertOutcome> {
  const { options, source, target, parameters, signal, origin } = job;
  await requireDirectory(source);
  const asFile = target.endsWith('.gguf');
  const sentinel = await readSentinel(source);
  const rootDigest = await pinnedDigest(source, sentinel);
  let contentHash: string | null = null;
  const fill = async (directory: string): Promise<ConversionReport> => {
    const file = join(directory, 'model.gguf');
    const report = await exportGguf(source, file, {
      ...(parameters.exact === true ? { exactOnly: true } : {}),
      verify: parameters.verify ?? 'sample',
      origin: { ref: origin.source_repo, revision: origin.source_revision, rootDigest },
      name: origin.source_repo === null ? basename(source) : origin.source_repo.slice(origin.source_repo.lastIndexOf('/') + 1),
      onProgress: (progress) => parameters.onProgress?.(progress),
      signal,
    });
    const finished = { ...report, target: { ...report.target, sha256: await sha256Of(file, signal) } };
    await writeFileAtomic(join(directory, 'conversion.json'), `${JSON.stringify(finished, null, 2)}\n`, 0o600);
    if (!asFile) contentHash = await pinWorkspace(options, directory, { ...origin, operation: 'convert', mode: 'gguf' });
    return finished;
  };
  const report = asFile ? await fillFile(target, fill) : await fillDirectory(target, fill);
  return { ...outcomeOf(report, 'gguf', target), content_hash: contentHash };
}

/** `--to mlx`: a GGUF file, or all parts of a split one, as an MLX checkpoint. */
export async function importFromGguf(job: ConvertJob): Promise<ConvertOutcome> {
  const { options, target, parameters, signal, origin } = job;
  const file = await ggufOf(job.source);
  await admitGguf(job, file);
  let contentHash: string | null = null;
  const report = await importGguf(file, target, {
    verify: parameters.verify ?? 'sample',
    onProgress: ({ doneBytes, totalBytes }) => parameters.onProgress?.({ step: 'convert', doneBytes, totalBytes }),
    finish: async (directory) => {
      contentHash = await pinWorkspace(options, directory, { ...origin, operation: 'convert', mode: 'mlx' });
    },
    signal,
  });
  return { ...outcomeOf(report, 'mlx', target), content_hash: contentHash };
}

async function admitGguf({ options, parameters, signal }: ConvertJob, file: string): Promise<void> {
  const parts = await Promise.all(
    ggufPartPaths(file).map(async (path) => ({ path: basename(path), source: path, sizeBytes: (await stat(path).catch(() => null))?.size ?? 0 })),
  );
  await passIntake(options, { id: basename(file), revision: null, purpose: 'import', origin: 'file', files: parts, signal }, parameters.onNotice);
}

function outcomeOf(report: ConversionReport, to: 'gguf' | 'mlx', target: string): ConvertOutcome {
  const { elements, inexactElements } = report.totals;
  return {
    made: true,
    message: `${target} is ${statementOf(report.totals)} (${report.verification.rows.toLocaleString('en')} rows compared).`,
    warning: report.warnings[0] ?? null,
    conversion: { to, verdict: report.verdict, elements, inexact_elements: inexactElements },
  };
}

async function requireDirectory(source: string): Promise<void> {
  const info = await lstat(source).catch(() => null);
  if (info === null) throw new HearthError('model_not_found', `There is no workspace at ${source}.`);
}

/** The file itself, or the only model of a directory. Errors: model_not_found, variant_required. */
async function ggufOf(source: string): Promise<string> {
  const info = await lstat(source).catch(() => null);
  if (info === null) throw new HearthError('model_not_found', `There is no file or workspace at ${source}.`);
  if (!info.isDirectory()) return source;
  const files = (await readdir(source)).filter((name) => name.endsWith('.gguf') && !/-(?!00001)\d{5}-of-\d{5}\.gguf$/.test(name)).sort();
  const [first, ...others] = files;
  if (first === undefined) throw new HearthError('model_not_found', `${source} holds no GGUF file.`);
  if (others.length > 0)
    throw new HearthError('variant_required', `${source} holds ${files.length} GGUF models: ${files.join(', ')}. Name the file.`, {
      details: { variants: files },
    });
  return join(source, first);
}

/** The content hash of a workspace that is as it was pinned: then it stands for the bytes that were read. */
async function pinnedDigest(source: string, sentinel: Sentinel | null): Promise<string | null> {
  return (await checkClean(source, sentinel)) === true ? String(sentinel?.['content_hash']) : null;
}

async function sha256Of(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await hashFile(hash, path, { signal });
  return hash.digest('hex');
}

/** The same for one file, with its report beside it as `<file>.conversion.json`. */
async function fillFile(target: string, fill: (directory: string) => Promise<ConversionReport>): Promise<ConversionReport> {
  const hidden = join(dirname(target), `.${basename(target)}.${process.pid}.${randomBytes(6).toString('hex')}.partial`);
  try {
    const report = await fillDirectory(hidden, fill);
    await rename(join(hidden, 'conversion.json'), `${target}.conversion.json`);
    await rename(join(hidden, 'model.gguf'), target);
    return report;
  } finally {
    await rm(hidden, { recursive: true, force: true });
  }
}
