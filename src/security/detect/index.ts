// Owns: rules over security events, requests and prompts, alerts and who is told of them, the injection score.
// Refuses: deciding what is an event; keeping or sending texts of requests; starting processes.
// Called by: security/index.ts.
export type { Alert, Silence } from './alert-book.ts';
export { createDetection, type Detection, type DetectionOptions } from './create-detection.ts';
export { evaluateInjectionScore, type InjectionEvaluation } from './injection/evaluate.ts';
export { foreignTexts } from './injection/request-texts.ts';
export { scoreTexts } from './injection/score.ts';
export { SUSPICIOUS } from './rules/content-rules.ts';
export { type PromptFacts, RULES, type RuleId, type Signal } from './signal.ts';
export { createCommandSink, createDesktopSink, createFileSink, createLogSink, type RunProgram } from './sinks/local-sinks.ts';
export { createOtlpSink, createSyslogSink, createWebhookSink } from './sinks/network-sinks.ts';
export type { AlertSink } from './sinks/sink.ts';
