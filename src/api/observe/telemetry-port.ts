import type { CapturedRequest, NumberedProductEvent, UsageCounts } from '../../contract/index.ts';

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
