import { request as httpRequest } from 'node:http';
import { Readable } from 'node:stream';

/** A fetch for `createClient` whose requests go over a Unix socket, whatever host their URL names. */
export function fetchOverSocket(socketPath: string): (request: Request) => Promise<Response> {
  return async (request) => {
    const url = new URL(request.url);
    const body = request.body ? Buffer.from(await request.arrayBuffer()) : null;
    return await new Promise<Response>((resolve, reject) => {
      const outgoing = httpRequest(
        {
          socketPath,
          path: `${url.pathname}${url.search}`,
          method: request.method,
          headers: { ...Object.fromEntries(request.headers), host: 'hearth', ...(body ? { 'content-length': body.byteLength } : {}) },
          signal: request.signal,
        },
        (incoming) => {
          const status = incoming.statusCode ?? 500;
          const headers = new Headers();
          for (const [name, value] of Object.entries(incoming.headers)) for (const each of [value ?? []].flat()) headers.append(name, each);
          const empty = status === 204 || status === 304;
          resolve(new Response(empty ? null : (Readable.toWeb(incoming) as ReadableStream<Uint8Array>), { status, headers }));
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body ?? undefined);
    });
  };
}
