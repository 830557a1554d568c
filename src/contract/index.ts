// Owns: what crosses a boundary: error table, canonical generation events, endpoints and wire schemas.
// Refuses: behaviour; node: imports; anything of ours.
// Called by: every module, clients and the console.
export * from './errors.ts';
export * from './generation.ts';
export * from './parser-codes.ts';
