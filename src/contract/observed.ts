/** What telemetry keeps and the routes tell. */

/** A request and its answer as they went over the wire; on disk with secrets replaced. */
export interface CapturedRequest {
  readonly id: string;
  readonly atMs: number;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly requestHeaders: Readonly<Record<string, string>>;
  readonly requestBody: string;
  readonly responseHeaders: Readonly<Record<string, string>>;
  readonly responseBody: string;
}

/** What one key used of one model in one hour. */
export interface UsageCounts {
  /** Start of the hour. */
  readonly hourMs: number;
  readonly key: string;
  readonly model: string;
  readonly upstream: string;
  readonly requests: number;
  readonly failed: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
}
