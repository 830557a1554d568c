import type { NumberedProductEvent } from '../../contract/index.ts';

/** A request and its answer as they went over the wire. */
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

export interface UsageCounts {
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

/** What was observed, for the routes that tell it; app makes it from telemetry. */
export interface TelemetryReader {
  /** With the number of streams that are open. */
  metricsText(streams: number): Promise<string>;
  lastEventId(): number;
  readEvents(afterId: number, signal: AbortSignal): AsyncGenerator<{ readonly events: readonly NumberedProductEvent[]; readonly missed: number }, void>;
  readUsage(wanted: { readonly key?: string; readonly fromMs?: number; readonly toMs?: number }): readonly UsageCounts[];
  /** null: nothing is captured. */
  readonly captures: {
    save(capture: CapturedRequest): Promise<void>;
    list(): Promise<readonly { readonly id: string; readonly atMs: number; readonly sizeBytes: number }[]>;
    read(id: string): Promise<CapturedRequest | null>;
  } | null;
}

/** Of a process that observes nothing. */
export const NO_TELEMETRY: TelemetryReader = {
  metricsText: async () => '',
  lastEventId: () => 0,
  async *readEvents(_, signal) {
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
  },
  readUsage: () => [],
  captures: null,
};
