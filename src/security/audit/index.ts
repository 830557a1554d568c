// Owns: the security event log: one chain of hashed lines for all processes of a home, its checkpoints, its verification and its digest for people.
// Refuses: deciding what is an event; rules and alerts over the stream (security/detect listens by `subscribe`).
// Called by: security/index.ts.
export type { AuditLine } from './line.ts';
export { logPlaces } from './log-writer.ts';
export { followLog, readLog, tailLog } from './read-log.ts';
export { type AuditReview, digestOf, reviewLog } from './review-log.ts';
export { createSecurityLog, type SecurityLog, type SecurityLogOptions } from './security-log.ts';
export { AUDIT_FAULTS, type AuditVerification, verifyLog } from './verify-log.ts';
