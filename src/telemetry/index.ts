// Owns: implementations of core's ports for observation: logger, event bus.
// Refuses: deciding what is worth telling; knowing models or HTTP.
// Called by: app.
export type { CaptureStore } from './captures.ts';
export { createTelemetry, type Telemetry, type TelemetryOptions } from './create-telemetry.ts';
export { createEventBus, type EventBus } from './event-bus.ts';
export type { EventFeed, NumberedEvent } from './event-feed.ts';
export { createLogBook, type LogBook, type LogService } from './log-book.ts';
export { createLogFile, type LogFile, type LogFileOptions } from './log-file.ts';
export { createLogger, type LoggerOptions, type LogLevel } from './logger.ts';
