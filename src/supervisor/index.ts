// Owns: one operating-system process each: spawn, cage, readiness, limits, stop, log capture.
// Refuses: any knowledge of models; it starts what a ProcessSpec describes.
// Called by: engines (types), gateway, app.
export type { Cage, CageReport, SandboxMode } from './cage/cage.ts';
export { findProgram } from './cage/choose-cage.ts';
export { createEnclosure, type Enclosure, type EnclosureOptions } from './enclosure.ts';
export { createHelperPool, type HelperPoolOptions } from './helpers/helper-pool.ts';
export {
  createLaunchJournal,
  type JournalOptions,
  type LaunchJournal,
  type LaunchRecord,
  type SweepOptions,
  type SweepReport,
  sweepLeftovers,
} from './launch-journal.ts';
export { forbidCoreDumps } from './limits/core-dumps.ts';
export type { HeldLimit } from './limits/kernel-limits.ts';
export type { ProcessLimits } from './limits/process-limits.ts';
export { type ProcessIdentity, type ProcessTable, processTable } from './process-identity.ts';
export * from './process-spec.ts';
export { type Command, type CommandResult, runCommand } from './run-command.ts';
export { createSupervisor, type SupervisorOptions } from './supervisor.ts';
