import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type Clock, HearthError, type HelperPool, makePrivateDirectory, type SecurityEventSink, writeManagedFile } from '../../core/index.ts';
import type { IntakeFinding, IntakeReport, IntakeRequest } from './intake-types.ts';
import { type IntakeState, STAGES } from './stages.ts';

export interface IntakeOptions {
  readonly helpers: HelperPool;
  readonly events: SecurityEventSink;
  /** Where the record of each model that entered is kept; null: nowhere. Made when first needed. */
  readonly recordsDirectory: string | null;
  readonly clock: Clock;
}

/** The gates that a model passes before anything of it can be loaded (docs/spec/security.md §4, §5). */
export interface Intake {
  /** What the stages find; nothing is refused, recorded or changed. */
  inspect(request: IntakeRequest): Promise<IntakeReport>;
  /** The same; what is taken out of what engines see is recorded, where nothing refuses the model. For a load, whose caller refuses by itself. */
  review(request: IntakeRequest): Promise<IntakeReport>;
  /** Throws model_refused with `details.reason` = the first code and all findings, and records one event. A model that enters gets its record. */
  admit(request: IntakeRequest): Promise<IntakeReport>;
}

const SHOWN_FINDINGS = 20;

export function createIntake({ helpers, events, recordsDirectory, clock }: IntakeOptions): Intake {
  async function inspect(request: IntakeRequest): Promise<IntakeReport> {
    const state: IntakeState = { request, helpers, findings: [], warnings: [], cleaned: [], sources: [], templates: [] };
    for (const stage of STAGES) {
      request.signal?.throwIfAborted();
      if (stage.purposes.includes(request.purpose)) await stage.run(state);
      if (state.findings.length > 0) break;
    }
    const { findings, warnings, cleaned, templates } = state;
    return { findings, warnings, cleaned, templates };
  }

  /** What is known of a model that entered: the ground of its AIBOM. */
  async function keepRecord(request: IntakeRequest, report: IntakeReport): Promise<void> {
    if (recordsDirectory === null) return;
    const { id, revision, origin = null, files } = request;
    const record = {
      v: 1,
      id,
      revision,
      origin,
      at: new Date(clock.now()).toISOString(),
      files: files.map(({ path, sizeBytes, sha256 = null }) => ({ path, sizeBytes, sha256 })),
      templates: report.templates,
      cleaned: report.cleaned.map(({ path, keys, sha256 }) => ({ path, keys, sha256 })),
      warnings: report.warnings,
    };
    await makePrivateDirectory(recordsDirectory);
    await writeManagedFile(recordPath(recordsDirectory, id, revision), `${JSON.stringify(record, null, 2)}\n`);
  }

  const modelOf = ({ id, revision }: IntakeRequest) => ({ id, ...(revision === null ? {} : { revision }) });

  async function review(request: IntakeRequest): Promise<IntakeReport> {
    const report = await inspect(request);
    if (report.findings.length > 0) return report;
    for (const { path, keys } of report.cleaned) {
      const details = { file: path, keys, action: 'strip' };
      events.record({ event: 'input.rejected', outcome: 'ok', model: modelOf(request), reason: 'config_code_pointer', details });
    }
    return report;
  }

  return {
    inspect,
    review,
    async admit(request) {
      const report = await review(request);
      const [first] = report.findings;
      if (first !== undefined) {
        const details = { purpose: request.purpose, findings: report.findings.slice(0, SHOWN_FINDINGS).map(withoutPlaces) };
        events.record({ event: 'model.refused', outcome: 'denied', model: modelOf(request), reason: first.code, details });
        throw refusal(request, report.findings);
      }
      if (request.purpose !== 'load') await keepRecord(request, report);
      return report;
    },
  };
}

/** Name of the record of a model: neither names nor revisions are paths. */
export const recordPath = (directory: string, id: string, revision: string | null): string =>
  join(
    directory,
    `${createHash('sha256')
      .update(`${id}\n${revision ?? ''}`)
      .digest('hex')
      .slice(0, 32)}.json`,
  );

const withoutPlaces = ({ stage, code, file, key }: IntakeFinding): object => ({
  stage,
  code,
  ...(file === undefined ? {} : { file }),
  ...(key === undefined ? {} : { key }),
});

const sentence = ({ file, message }: IntakeFinding): string =>
  (file === undefined || message.includes(file) ? message : `${file}: ${message}`).replace(/\.$/, '');

function refusal({ id, purpose }: IntakeRequest, findings: readonly IntakeFinding[]): HearthError {
  const [first] = findings;
  const more = findings.length > 1 ? ` (and ${findings.length - 1} more)` : '';
  const nothing = purpose === 'load' ? 'It was not loaded.' : 'Nothing of it can be loaded.';
  return new HearthError('model_refused', `${id} is refused: ${sentence(first!)}${more}. ${nothing}`, {
    details: { reason: first!.code, findings: findings.slice(0, SHOWN_FINDINGS).map(withoutPlaces) },
  });
}
