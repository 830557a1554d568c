/** Gates of a model before it can be loaded: limits, content, headers, code-pointing keys, templates. */
export { createIntake, type Intake, type IntakeOptions, recordPath } from './create-intake.ts';
export { type FileKind, fileKind, isAllowedFile } from './file-kind.ts';
export { inspectJson } from './inspect-json.ts';
export type {
  CleanedFile,
  IntakeFile,
  IntakeFinding,
  IntakePurpose,
  IntakeReport,
  IntakeRequest,
  IntakeStage,
  IntakeTemplate,
} from './intake-types.ts';
export { SNIFF_BYTES, sniffContent } from './sniff.ts';
export { TEMPLATE_LIMITS, TEMPLATE_MS } from './template-job.ts';
