// Owns: the engine port and the engines behind it.
// Refuses: spawning, HTTP, deciding what is loaded.
// Called by: gateway, training, stack (through the port) and app.
export * from './port.ts';
