import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { type HelperPool, isHearthError } from '../../core/index.ts';
import { openGguf, openSafetensors } from '../../formats/index.ts';
import { fileKind } from './file-kind.ts';
import { inspectJson, isVocabulary } from './inspect-json.ts';
import type { CleanedFile, IntakeFile, IntakeFinding, IntakePurpose, IntakeRequest, IntakeStage, IntakeTemplate } from './intake-types.ts';
import { readHead, readStrictText } from './read-text.ts';
import { SNIFF_BYTES, sniffContent } from './sniff.ts';
import { type TemplateVerdict, templateJob } from './template-job.ts';

/** What the stages of one model share, and fill. */
export interface IntakeState {
  readonly request: IntakeRequest;
  readonly helpers: HelperPool;
  readonly findings: IntakeFinding[];
  readonly warnings: IntakeFinding[];
  readonly cleaned: CleanedFile[];
  /** Templates that were met, with the file that holds each. */
  readonly sources: { readonly file: string; readonly source: string }[];
  readonly templates: IntakeTemplate[];
}

/** A step that looks at the files and adds what it finds. */
export interface Stage {
  readonly name: IntakeStage;
  readonly purposes: readonly IntakePurpose[];
  run(state: IntakeState): Promise<void> | void;
}

const MAX_FILES = 10_000;
const MAX_TEMPLATE_BYTES = 1024 * 1024;
const EVERY = ['pull', 'import', 'load'] as const;

/** Each stage in its order (docs/spec/security.md §4.1). Later ones are not asked once one has refused: what they read would not be trusted anyway. */
export const STAGES: readonly Stage[] = [
  { name: 'limits', purposes: EVERY, run: checkLimits },
  { name: 'sniff', purposes: EVERY, run: (state) => eachFile(state, sniff) },
  { name: 'headers', purposes: ['pull', 'import'], run: (state) => eachFile(state, parseHeader) },
  { name: 'config', purposes: EVERY, run: (state) => eachFile(state, inspect) },
  { name: 'template', purposes: ['pull', 'import'], run: tryTemplates },
  // Each rendering later is bounded by itself: nothing is tried again at a load.
  { name: 'template', purposes: ['load'], run: nameTemplates },
];

async function eachFile(state: IntakeState, look: (file: IntakeFile, state: IntakeState) => Promise<void>): Promise<void> {
  for (const file of state.request.files) {
    state.request.signal?.throwIfAborted();
    await look(file, state);
  }
}

function checkLimits({ request, findings }: IntakeState): void {
  const { files, maxBytes = Number.POSITIVE_INFINITY } = request;
  const refuse = (message: string): number => findings.push({ stage: 'limits', code: 'intake_limits', message });
  if (files.length > MAX_FILES) refuse(`The model has ${files.length} files; at most ${MAX_FILES.toLocaleString('en')} are taken`);
  const bytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  if (bytes > maxBytes) refuse(`The model has ${bytes} bytes; its source may bring ${maxBytes}`);
}

/** By name and by content: what runs code when it is read, or hides other files, does not enter. */
async function sniff(file: IntakeFile, { request, findings }: IntakeState): Promise<void> {
  const kind = fileKind(file.path);
  // An engine never sees the other files of a model that is here already.
  if (request.purpose === 'load' && ['refused', 'other', 'document', 'record'].includes(kind)) return;
  const refuse = (message: string): void => void findings.push({ stage: 'sniff', code: 'intake_format_refused', file: file.path, message });
  if (kind === 'refused') return refuse('is of a kind that hearth does not take');
  const { head, whole } = await readHead(file.source, SNIFF_BYTES);
  const what = sniffContent(head, whole);
  if (what !== null) refuse(`is ${what}, whatever its name says`);
}

/** The strict parsers are ours and bounded by construction, so they run here (docs/spec/security.md §4.5). */
async function parseHeader(file: IntakeFile, { findings }: IntakeState): Promise<void> {
  const kind = fileKind(file.path);
  if (kind !== 'safetensors' && kind !== 'gguf') return;
  try {
    await using _ = kind === 'safetensors' ? await openSafetensors(file.source) : await openGguf(file.source, basename(file.path));
  } catch (error) {
    if (!isHearthError(error)) throw error;
    findings.push({ stage: 'headers', code: error.code, file: file.path, message: error.message });
  }
}

async function inspect(file: IntakeFile, { request, findings, cleaned, sources }: IntakeState): Promise<void> {
  const kind = fileKind(file.path);
  // Tables of words tell no loader what to run; they are read once, when they come.
  if (request.purpose === 'load' && kind === 'json' && isVocabulary(file.path)) return;
  if (kind === 'json') {
    const json = await inspectJson(file);
    findings.push(...json.findings);
    if (json.cleaned !== null) cleaned.push(json.cleaned);
    for (const source of json.templates) sources.push({ file: file.path, source });
  } else if (kind === 'template') {
    const source = await readStrictText(file.source, MAX_TEMPLATE_BYTES);
    if (source !== null) sources.push({ file: file.path, source });
    else findings.push({ stage: 'template', code: 'template_limit', file: file.path, message: 'is larger than 1 MiB, or not UTF-8' });
  } else if (kind === 'gguf') {
    await using gguf = await openGguf(file.source, basename(file.path)).catch(() => null);
    const value = gguf?.header.keys.get('tokenizer.chat_template');
    if (value?.type === 'string') sources.push({ file: file.path, source: String(value.value) });
  }
}

const digestOf = (source: string): string => createHash('sha256').update(source).digest('hex');

function nameTemplates({ sources, templates }: IntakeState): void {
  for (const { file, source } of sources) templates.push({ file, sha256: digestOf(source), problem: null });
}

async function tryTemplates({ sources, helpers, findings, warnings, templates, request }: IntakeState): Promise<void> {
  const known = new Map<string, TemplateVerdict>();
  for (const { file, source } of sources) {
    const sha256 = digestOf(source);
    try {
      const verdict = known.get(sha256) ?? ((await helpers.run(templateJob(source), request.signal)) as TemplateVerdict);
      known.set(sha256, verdict);
      templates.push({ file, sha256, problem: verdict.problem?.message ?? null });
      if (verdict.problem !== null) warnings.push({ stage: 'template', file, ...verdict.problem });
      for (const name of verdict.unknown) warnings.push({ stage: 'template', code: 'template_name', file, message: `uses the ${name}, which is not known` });
    } catch (error) {
      if (!isHearthError(error) || error.code !== 'template_limit') throw error;
      findings.push({ stage: 'template', code: error.code, file, message: error.message });
    }
  }
}
