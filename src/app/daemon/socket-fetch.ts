import { Readable } from 'node:stream';

/** A fetch over a Unix socket; the global one cannot do that. */
export function socketFetch(socketPath: string): (request: Request) => Promise<Response> {
  return async (request) => {
    const { request: httpRequest } = await import('node:http');
    const url = new URL(request.url);
    const body = request.body === null ? null : Buffer.from(await request.arrayBuffer());
    return await new Promise<Response>((resolve, reject) => {
      const outgoing = httpRequest(
        {
          socketPath,
          path: url.pathname + url.search,
          method: request.method,
          headers: { ...Object.fromEntries(request.headers), host: url.host, ...(body === null ? {} : { 'content-length': String(body.length) }) },
          signal: request.signal,
          agent: false,
        },
        (incoming) => {
          const headers = new Headers();
          for (let i = 0; i < incoming.rawHeaders.length; i += 2) headers.append(incoming.rawHeaders[i]!, incoming.rawHeaders[i + 1]!);
          const status = incoming.statusCode ?? 500;
          const empty = status === 204 || status === 304 || request.method === 'HEAD';
          resolve(new Response(empty ? null : (Readable.toWeb(incoming) as unknown as ReadableStream<Uint8Array>), { status, headers }));
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body ?? undefined);
    });
  };
}
