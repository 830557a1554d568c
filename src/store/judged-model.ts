import { createHash } from 'node:crypto';
import type { ModelObject } from '../contract/index.ts';
import type { Located } from './locate.ts';
import { modelObject, type OpenedModel, openLocated } from './model-object.ts';
import type { StoreOptions } from './options.ts';

/** A judgement is not kept while a file is so fresh that another change could leave the same times. */
const SETTLED_MS = 2000;

/** The model object of one place: from what an earlier run found out when no file has changed since, else by judging. */
export async function judgedModel(options: Pick<StoreOptions, 'runtimeProbe' | 'judgements' | 'clock'>, located: Located): Promise<ModelObject> {
  const opened = await openLocated(located);
  const fingerprint = options.judgements === undefined ? '' : fingerprintOf(opened);
  const judged = options.judgements?.find(opened.view.directory, fingerprint);
  if (judged !== undefined) return await modelObject({ located, ...opened, judged });
  const { judge } = await import('./judge.ts');
  const { model } = await judge(options, located, opened);
  const newest = opened.view.files.reduce((latest, file) => Math.max(latest, file.ctimeMs), 0);
  if (opened.view.files.length > 0 && newest < options.clock.now() - SETTLED_MS) options.judgements?.keep(opened.view.directory, fingerprint, fieldsOf(model));
  return model;
}

const fieldsOf = ({ framework, model_type, capabilities, health, runtime_compatible, reason, quantization }: ModelObject) => ({
  framework,
  model_type,
  capabilities,
  health,
  runtime_compatible,
  reason,
  quantization,
});

/** Changes with every write to a file: the system sets ctime itself. */
function fingerprintOf({ view, nameHint }: OpenedModel): string {
  const hash = createHash('sha256').update(JSON.stringify([nameHint, view.refused]));
  for (const file of view.files) hash.update(`\0${file.path}\0${file.sizeBytes} ${file.mtimeMs} ${file.ctimeMs}`);
  return hash.digest('base64');
}
