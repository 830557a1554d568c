import { readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError, type ModelFacts } from '../core/index.ts';
import type { PreparedModel } from '../engines/index.ts';
import type { Admission, ModelTrust } from '../security/index.ts';
import type { ResolvedModel } from './model-source.ts';

/** The models of one load, each judged before its engine sees it (docs/spec/security.md §6). */
export interface AdmittedModels {
  /** Throws model_refused. `prepare` gets the facts with the view in place of the model's directory. */
  prepare(model: ResolvedModel, prepare: (facts: ModelFacts) => Promise<PreparedModel>): Promise<PreparedModel>;
  /** The real files behind the links of the views: a cage shows a child each at its own place. */
  readonly readPaths: readonly string[];
  /** What was read must be what was judged: asked once the engine has read it. Throws model_refused. */
  recheck(): Promise<void>;
  /** Of the first model that was prepared; null where nobody judges models. */
  readonly main: Admission | null;
  release(): void;
}

/** Without `trust` nothing is judged, and engines get the models' own directories. */
export function createAdmittedModels(trust: ModelTrust | undefined, signal: AbortSignal): AdmittedModels {
  const admissions: Admission[] = [];
  const readPaths: string[] = [];
  return {
    readPaths,
    get main() {
      return admissions[0] ?? null;
    },

    async prepare({ id, facts, revisionNamed = false }, prepare) {
      if (!trust) return await prepare(facts);
      const only = facts.framework === 'GGUF' ? { only: facts.weightFiles } : {};
      const admission = await trust.admit({ id, directory: facts.directory, ...only, revisionNamed, signal });
      admissions.push(admission);
      const { ready, own } = await prepareTaken(admission, () => prepare({ ...facts, directory: admission.viewDirectory }));
      await admission.watch(ready.directory, own);
      readPaths.push(...(await realFiles(ready.directory)));
      // Messages name the place that the user knows.
      return { ...ready, sourceDirectory: own ?? facts.directory };
    },

    async recheck() {
      for (const admission of admissions) await admission.recheck();
    },

    release() {
      for (const admission of admissions) admission.release();
    },
  };
}

/** `own`: what the engine made of the files and keeps, where it reads that instead; one that is not what was made is made anew. */
async function prepareTaken(admission: Admission, prepare: () => Promise<PreparedModel>): Promise<{ readonly ready: PreparedModel; readonly own?: string }> {
  for (let turn = 0; turn < 3; turn += 1) {
    const ready = await prepare();
    const { sourceDirectory: own, converted = false } = ready;
    if (own === undefined || own === admission.viewDirectory) return { ready };
    if (await admission.takeOutput(own, converted)) return { ready, own };
  }
  throw new HearthError('model_load_failed', 'The converted copy of the model changed again and again while it was made.');
}

async function realFiles(view: string): Promise<string[]> {
  const entries = await readdir(view, { recursive: true, withFileTypes: true });
  const links = entries.filter((entry) => entry.isSymbolicLink()).map((entry) => realpath(join(entry.parentPath, entry.name)).catch(() => null));
  return (await Promise.all(links)).filter((path) => path !== null);
}
