// Owns: the embedded inference engine: weights in, logits out.
// Refuses: HTTP, model names, the hearth home, text.
// Called by: engines/ember only.
export * from './kernel-interface.ts';
export * from './types.ts';
