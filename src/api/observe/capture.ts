import type { Clock } from '../../core/index.ts';
import type { LiveRequest } from './request-table.ts';
import type { TelemetryReader } from './telemetry-port.ts';

/** Of a body; what is longer is cut. */
const BODY_BYTES = 1024 * 1024;

/**
 * Keeps a copy of what an inference request sent and what it got, and hands it over when the last byte is out. Answers the response to send
 * in place of the given one. The request's body is the value that was parsed, since its bytes are read by then.
 */
export function captureAnswer(
  store: NonNullable<TelemetryReader['captures']>,
  { live, request, body: asked }: { readonly live: LiveRequest; readonly request: Request; readonly body: unknown },
  response: Response,
  clock: Clock,
): Response {
  const atMs = clock.now();
  const save = async (responseBody: string) =>
    await store.save({
      id: live.id,
      atMs,
      method: live.method,
      path: live.path,
      status: response.status,
      requestHeaders: Object.fromEntries(request.headers),
      requestBody: asked === undefined ? '' : JSON.stringify(asked).slice(0, BODY_BYTES),
      responseHeaders: Object.fromEntries(response.headers),
      responseBody,
    });
  if (!response.body) {
    void save('');
    return response;
  }
  const kept: Uint8Array[] = [];
  let bytes = 0;
  let saved = false;
  const finish = () => {
    if (saved) return;
    saved = true;
    void save(textOf(Buffer.concat(kept)));
  };
  const reader = response.body.getReader();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) {
            finish();
            controller.close();
            return;
          }
          if (bytes < BODY_BYTES) kept.push(value);
          bytes += value.byteLength;
          controller.enqueue(value);
        } catch (error) {
          finish();
          controller.error(error);
        }
      },
      async cancel(reason) {
        finish();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { status: response.status, headers: response.headers });
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes.subarray(0, BODY_BYTES));
