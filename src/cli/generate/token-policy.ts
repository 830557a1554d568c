/** New tokens where images are asked about and no limit is given. */
const VISION_TOKENS = 2048;

/**
 * The most new tokens of an answer (docs/spec/store.md §10): the given limit, else 2,048 about images, else all that the context
 * holds; the server would give half of it. The engine clips it to the room that the prompt leaves.
 */
export const newTokens = (given: number | undefined, images: boolean, contextTokens: number | null): number | undefined =>
  given ?? (images ? VISION_TOKENS : (contextTokens ?? undefined));
