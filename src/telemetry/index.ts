// Owns: implementations of core's ports for observation: logger, event bus.
// Refuses: deciding what is worth telling; knowing models or HTTP.
// Called by: app.
export { createEventBus, type EventBus } from './event-bus.ts';
export { createLogger, type LoggerOptions, type LogLevel } from './logger.ts';
