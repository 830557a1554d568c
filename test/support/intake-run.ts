import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type SecurityEvent, systemClock } from '../../src/core/index.ts';
import { createIntake, type Intake, type IntakeFile, type IntakePurpose, type IntakeReport } from '../../src/security/index.ts';
import { createHelperPool, createSupervisor } from '../../src/supervisor/index.ts';

/** The real gates with real helper processes, over a temporary directory. */
export interface IntakeRun extends AsyncDisposable {
  readonly root: string;
  readonly intake: Intake;
  /** What was recorded since the last look. */
  events(): SecurityEvent[];
  write(files: Readonly<Record<string, string | Uint8Array>>): Promise<IntakeFile[]>;
  inspect(files: Readonly<Record<string, string | Uint8Array>>, purpose?: IntakePurpose): Promise<IntakeReport>;
  /** The code of the first finding, or `taken`. */
  codeOf(files: Readonly<Record<string, string | Uint8Array>>, purpose?: IntakePurpose): Promise<string>;
}

export async function startIntake(): Promise<IntakeRun> {
  const root = await mkdtemp(join(tmpdir(), 'hearth_intake_'));
  const supervisor = createSupervisor({ environment: { PATH: process.env['PATH'] } });
  const helpers = createHelperPool({ supervisor, directory: join(root, 'helpers') });
  const recorded: SecurityEvent[] = [];
  const intake = createIntake({
    helpers,
    events: { record: (event) => void recorded.push(event), assertWritable() {} },
    recordsDirectory: join(root, 'records'),
    clock: systemClock,
  });
  let next = 0;
  const write: IntakeRun['write'] = async (files) => {
    const directory = join(root, `model${next++}`);
    return Promise.all(
      Object.entries(files).map(async ([path, content]) => {
        const source = join(directory, path);
        await mkdir(dirname(source), { recursive: true });
        await writeFile(source, content);
        return { path, source, sizeBytes: (await stat(source)).size };
      }),
    );
  };
  const inspect: IntakeRun['inspect'] = async (files, purpose = 'import') =>
    intake.inspect({ id: 'org/model', revision: null, purpose, files: await write(files) });
  return {
    root,
    intake,
    events: () => recorded.splice(0),
    write,
    inspect,
    codeOf: async (files, purpose) => (await inspect(files, purpose)).findings[0]?.code ?? 'taken',
    async [Symbol.asyncDispose]() {
      await helpers[Symbol.asyncDispose]();
      await supervisor[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}
