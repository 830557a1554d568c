// Owns: HTTP: binding endpoints to handlers, request bodies, error answers, the SSE writer, listeners.
// Refuses: deciding what is loaded or who waits; wire formats beyond calling the gateway's dialects; config.
// Called by: app.
import type { Api } from './api.ts';
import type { Listener, ListenOptions } from './listen.ts';

export { type Api, type ApiOptions, createApi, type RequestOrigin } from './api.ts';
export type { RequestInspector } from './bind.ts';
export type { Listener, ListenerAccess, ListenOptions } from './listen.ts';
export type { TelemetryReader } from './observe/telemetry-port.ts';
export type { EngineInstallOptions, EngineInstalls } from './routes/engines.ts';
export type { AuditReader, ConfigReloads, DaemonControl, LogReader, StackDown } from './services.ts';

/** Opens the listeners of one API (listen.ts). Loaded on use: a process that only answers itself needs no HTTP server, and its start costs time. */
export async function listen(api: Api, options: ListenOptions): Promise<Listener> {
  const module = await import('./listen.ts');
  return await module.listen(api, options);
}
