// Owns: the typed HTTP client made from contract's endpoints, and the error that it throws.
// Refuses: node: imports, sockets, starting anything itself: the way to the server is the fetch that it is given, the daemon is started by an injected launcher.
// Called by: app, cli, agent, web, and other programs (it is the package's main entry).
export { type CallOptions, type Client, type ClientOptions, createClient } from './client.ts';
export { ClientError } from './client-error.ts';
export { type DaemonLauncher, type FoundDaemon, findDaemon, openDaemon } from './open-daemon.ts';
