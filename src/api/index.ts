// Owns: HTTP: binding endpoints to handlers, request bodies, error answers, the SSE writer, listeners.
// Refuses: deciding what is loaded or who waits; wire formats beyond calling the gateway's dialects; config.
// Called by: app.
export { type Api, type ApiOptions, createApi, type RequestOrigin } from './api.ts';
export { type Listener, type ListenOptions, listen } from './listen.ts';
