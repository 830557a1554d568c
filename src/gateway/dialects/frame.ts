/** One thing for the SSE writer: an event, named where the dialect names its events, or a comment to send with the next heartbeat. */
export type Frame<T> =
  | { readonly kind: 'data'; readonly data: T; readonly event?: string }
  | { readonly kind: 'comment'; readonly text: string }
  /** Whole events in the words of their source, its end among them. */
  | { readonly kind: 'raw'; readonly text: string };
