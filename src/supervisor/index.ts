// Owns: one operating-system process each: spawn, cage, readiness, limits, stop, log capture.
// Refuses: any knowledge of models; it starts what a ProcessSpec describes.
// Called by: engines (types), gateway, app.
export {
  createLaunchJournal,
  type JournalOptions,
  type LaunchJournal,
  type LaunchRecord,
  type SweepOptions,
  type SweepReport,
  sweepLeftovers,
} from './launch-journal.ts';
export { type ProcessIdentity, type ProcessTable, processTable } from './process-identity.ts';
export * from './process-spec.ts';
export { type Command, type CommandResult, runCommand } from './run-command.ts';
export { createSupervisor, type SupervisorOptions } from './supervisor.ts';
