import type { Hearth } from '../hearth-options.ts';

export interface ClientWatch {
  /** Counts the requests that go through, each until the last byte of its answer. */
  watch(request: Hearth['request']): Hearth['request'];
  active(): number;
  /** When the last one came or went, on the clock of `performance.now`. */
  lastAt(): number;
}

/** Whether anybody uses a daemon: asked before one that was started on demand leaves. */
export function watchClients(): ClientWatch {
  let active = 0;
  let lastAt = performance.now();
  const end = () => {
    active -= 1;
    lastAt = performance.now();
  };
  return {
    active: () => active,
    lastAt: () => lastAt,
    watch: (request) => async (incoming, origin) => {
      active += 1;
      lastAt = performance.now();
      let response: Response;
      try {
        response = await request(incoming, origin);
      } catch (error) {
        end();
        throw error;
      }
      if (response.body === null) {
        end();
        return response;
      }
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
      void response.body
        .pipeTo(writable)
        .catch(() => {})
        .finally(end);
      return new Response(readable, { status: response.status, headers: response.headers });
    },
  };
}
