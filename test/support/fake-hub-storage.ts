import { createReadStream } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { WritableHubBehaviour, WritableHubRequest } from './fake-hub-writes.ts';
import type { HubRepositories } from './hub-repositories.ts';

/** The storage behind a fake hub: signed addresses for whole files and for parts, and the joining of parts. */

export interface Multipart {
  readonly oid: string;
  readonly sizeBytes: number;
  readonly partBytes: number;
  readonly etags: Map<number, string>;
  readonly generation: number;
}

export interface HubWriteState {
  readonly repositories: HubRepositories;
  behaviour: WritableHubBehaviour;
  hubOrigin: string;
  storageOrigin: string;
  readonly uploads: Map<string, Multipart>;
  generation: number;
  counters: { cuts: number; limited: number; foreign: number; lost: number };
}

export function send(response: ServerResponse, status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body === null ? '' : JSON.stringify(body));
}

export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

export async function answerStorage(state: HubWriteState, request: IncomingMessage, response: ServerResponse, log: WritableHubRequest): Promise<void> {
  const { repositories, behaviour, counters } = state;
  const url = new URL(request.url ?? '/', 'http://storage');
  const object = /^\/object\/([0-9a-f]{64})$/.exec(url.pathname);
  if (object !== null && request.method === 'GET') {
    if (!repositories.has(object[1]!)) return send(response, 404, null);
    createReadStream(repositories.pathOf(object[1]!)).pipe(response);
    return;
  }
  const put = /^\/upload\/([\w-]+)\/(whole|\d+)$/.exec(url.pathname);
  const upload = put === null ? undefined : state.uploads.get(put[1]!);
  if (put === null || upload === undefined || request.method !== 'PUT') return send(response, 404, null);
  // As the real storage: a signed address and another right at once are refused, and so is a body without a length.
  if (request.headers.authorization !== undefined) return send(response, 400, { error: 'Only one auth mechanism allowed' });
  if (log.contentLength === null) return send(response, 411, { error: 'MissingContentLength' });
  if (upload.generation < state.generation) return send(response, 403, { error: 'Request has expired' });
  if (behaviour.openDuringUpload !== undefined) repositories.all.get(behaviour.openDuringUpload)!.private = false;
  const part = put[2] === 'whole' ? null : Number(put[2]);
  if (
    behaviour.cutPutAfterBytes !== undefined &&
    counters.cuts < (behaviour.cutTimes ?? 1) &&
    (behaviour.cutPart === undefined || behaviour.cutPart === part)
  ) {
    counters.cuts++;
    for await (const _ of request) if (log.bodyBytes >= behaviour.cutPutAfterBytes) break;
    request.socket.destroy();
    return;
  }
  const wanted = part === null ? upload.sizeBytes : Math.min(upload.partBytes, upload.sizeBytes - (part - 1) * upload.partBytes);
  const kept = await repositories.keep(
    behaviour.corruptStorage ? Readable.from(flipped(request)) : request,
    part === null && behaviour.corruptStorage !== true ? { sha256: upload.oid, sizeBytes: upload.sizeBytes } : undefined,
  );
  if (kept === null || kept.sizeBytes !== wanted || wanted <= 0) return send(response, 400, { error: 'BadDigest' });
  const etag = `"${kept.sha256.slice(0, 32)}"`;
  if (part !== null) upload.etags.set(part, kept.sha256);
  response.writeHead(200, { etag });
  response.end();
}

async function* flipped(source: Readable): AsyncGenerator<Buffer> {
  for await (const piece of source) {
    const copy = Buffer.from(piece as Buffer);
    copy[0] = copy[0]! ^ 1;
    yield copy;
  }
}

export async function completeMultipart(state: HubWriteState, url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const upload = state.uploads.get(url.searchParams.get('upload') ?? '');
  if (upload === undefined || url.searchParams.get('signature') !== 's3cret') return send(response, 404, { error: 'no such upload' });
  if (upload.generation < state.generation) return send(response, 403, { error: 'Request has expired' });
  const { oid, parts } = JSON.parse(String(await bodyOf(request))) as { oid: string; parts: { partNumber: number; etag: string }[] };
  const shas = parts.map(({ partNumber, etag }) => {
    const sha = upload.etags.get(partNumber);
    return sha !== undefined && etag === `"${sha.slice(0, 32)}"` ? sha : null;
  });
  const whole = parts.length === Math.ceil(upload.sizeBytes / upload.partBytes) && parts.every(({ partNumber }, i) => partNumber === i + 1);
  if (oid !== upload.oid || !whole || shas.includes(null)) return send(response, 400, { error: 'InvalidPart' });
  const joined = await state.repositories.join(shas as string[], { sha256: upload.oid, sizeBytes: upload.sizeBytes });
  if (joined === null) return send(response, 400, { error: 'BadDigest' });
  send(response, 200, { success: true });
}
