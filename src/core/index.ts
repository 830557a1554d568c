// Owns: the error class, ports that upper modules implement (Clock, Logger, Fetch, EventSink, RuntimeProbe), atomic files, ids, redaction.
// Refuses: any knowledge of models, HTTP or configuration.
// Called by: every module but contract and client.
export * from './atomic-file.ts';
export * from './boot-id.ts';
export * from './canonical-json.ts';
export * from './crash-report.ts';
export * from './file-lock.ts';
export { formatSize } from './format-size.ts';
export * from './hearth-error.ts';
export * from './helper-pool.ts';
export * from './helper-program.ts';
export * from './hidden-text.ts';
export * from './ids.ts';
export * from './install-paths.ts';
export * from './json-lines.ts';
export * from './json-object.ts';
export * from './managed-file.ts';
export * from './module-url.ts';
export * from './ports.ts';
export * from './private-directory.ts';
export * from './process-alive.ts';
export * from './read-grants.ts';
export { createLeakWatch, keyRedaction, LEAK_CHARACTERS, redact, redactFields, registerSecret, shortenHome } from './redact.ts';
export * from './security-events.ts';
export * from './similarity.ts';
export * from './small-heap.ts';
export * from './stream-redactor.ts';
export * from './system-error.ts';
export * from './terminal-text.ts';
export * from './time-limit.ts';
export * from './trace-context.ts';
