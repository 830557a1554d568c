// Owns: one operating-system process each: spawn, cage, readiness, limits, stop, log capture.
// Refuses: any knowledge of models; it starts what a ProcessSpec describes.
// Called by: engines (types), gateway, app.
export * from './process-spec.ts';
export { createSupervisor, type SupervisorOptions } from './supervisor.ts';
