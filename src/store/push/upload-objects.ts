import { z } from 'zod';
import { HearthError } from '../../core/index.ts';
import { jsonBody } from './json-body.ts';
import type { HashedFile } from './lint.ts';
import { readListed } from './open-file.ts';
import type { PushHub } from './push-hub.ts';
import { parseAnswer } from './remote-state.ts';
import type { UploadRecords } from './upload-records.ts';

export interface ObjectUpload {
  readonly hub: PushHub;
  readonly repository: string;
  readonly branch: string;
  /** Parts that an earlier push has sent. */
  readonly records: UploadRecords;
  /** Told the bytes that the storage has; a try that failed takes its bytes back. */
  readonly onBytes: (bytes: number) => void;
}

const GIT_LFS = 'application/vnd.git-lfs+json';
const BATCH = 100;
const FILES_AT_ONCE = 2;
const PARTS_AT_ONCE = 3;
/** The network asks for a piece when it has taken the one before; some more make sure that none is overwritten. Fresh ones would pile up faster than they are collected. */
const NETWORK_BUFFERS = 8;
const MIN_PART_BYTES = 64 * 1024;
const MAX_PARTS = 10_000;

const actionSchema = z.object({ href: z.url(), header: z.record(z.string(), z.string()).nullish() });
const batchSchema = z.object({
  objects: z.array(
    z.object({
      oid: z.string(),
      size: z.int(),
      error: z.object({ code: z.int(), message: z.string() }).nullish(),
      actions: z.object({ upload: actionSchema.nullish(), verify: actionSchema.nullish() }).nullish(),
    }),
  ),
});
type Action = z.output<typeof actionSchema>;

/** Sends large files to the hub's storage; what it has already is not sent. Errors: upload_failed, push_refused, and those of the network. */
export async function uploadObjects(upload: ObjectUpload, files: readonly HashedFile[]): Promise<void> {
  // Files with the same content are one object.
  const objects = [...new Map(files.map((file) => [file.sha256, file])).values()];
  for (let at = 0; at < objects.length; at += BATCH) await uploadBatch(upload, objects.slice(at, at + BATCH));
}

async function uploadBatch(upload: ObjectUpload, objects: readonly HashedFile[]): Promise<void> {
  const request = {
    operation: 'upload',
    transfers: ['basic', 'multipart'],
    hash_algo: 'sha_256',
    ref: { name: upload.branch },
    objects: objects.map(({ sha256, sizeBytes }) => ({ oid: sha256, size: sizeBytes })),
  };
  const to = `/${upload.repository}.git/info/lfs/objects/batch`;
  const answer = parseAnswer(
    batchSchema,
    await upload.hub.send({ method: 'POST', to, ...jsonBody(request, GIT_LFS), doing: 'asking where files go' }),
    'plan for large files',
  );
  const byOid = new Map(answer.objects.map((object) => [object.oid, object]));
  const queue = objects.map((file) => ({ file, object: byOid.get(file.sha256) }));
  await atOnce(FILES_AT_ONCE, queue, async ({ file, object }) => {
    if (object === undefined) throw new HearthError('upload_failed', `The hub gave no place for ${file.path}.`);
    if (object.error) throw new HearthError('upload_failed', `The hub refuses ${file.path}: ${object.error.message.slice(0, 200)} (${object.error.code}).`);
    const action = object.actions?.upload;
    if (!action) return upload.onBytes(file.sizeBytes);
    if (action.header?.['chunk_size'] === undefined) await uploadWhole(upload, file, action);
    else await uploadParts(upload, file, action);
    const verify = object.actions?.verify;
    if (!verify) return;
    const body = jsonBody({ oid: file.sha256, size: file.sizeBytes }, GIT_LFS);
    await upload.hub.send({ method: 'POST', to: verify.href, ...body, headers: { ...verify.header, ...body.headers }, doing: `verifying ${file.path}` });
  });
}

async function uploadWhole(upload: ObjectUpload, file: HashedFile, action: Action): Promise<void> {
  await upload.hub.send({
    method: 'PUT',
    to: action.href,
    signed: true,
    headers: action.header ?? {},
    body: countedBody(upload, file, 0, file.sizeBytes),
    doing: `sending ${file.path}`,
  });
}

/** The size of a part and an address for each, from the header `chunk_size`, `00001` … of the hub's answer. Errors: upload_failed. */
function partsOf(file: HashedFile, action: Action): { readonly partBytes: number; readonly addresses: readonly string[] } {
  const header = action.header ?? {};
  const partBytes = Number(header['chunk_size']);
  const numbered = Object.entries(header)
    .filter(([name]) => /^\d+$/.test(name))
    .sort(([a], [b]) => Number(a) - Number(b));
  const fits =
    Number.isSafeInteger(partBytes) && partBytes >= MIN_PART_BYTES && numbered.length <= MAX_PARTS && numbered.length === Math.ceil(file.sizeBytes / partBytes);
  if (!fits || numbered.some(([name], i) => Number(name) !== i + 1))
    throw new HearthError('upload_failed', `The hub's plan for the parts of ${file.path} does not fit its size.`);
  return { partBytes, addresses: numbered.map(([, address]) => address) };
}

async function uploadParts(upload: ObjectUpload, file: HashedFile, fresh: Action): Promise<void> {
  const begun = await upload.records.read(file.sha256);
  if (begun !== null) {
    try {
      return await sendParts(upload, file, begun.action, begun.etags);
    } catch (error) {
      // The addresses of the earlier push have run out: begin again with the new ones.
      if (!(error instanceof HearthError) || typeof error.details['status'] !== 'number') throw error;
      await upload.records.remove(file.sha256);
    }
  }
  await sendParts(upload, file, fresh, new Map());
}

async function sendParts(upload: ObjectUpload, file: HashedFile, action: Action, known: ReadonlyMap<number, string>): Promise<void> {
  const { partBytes, addresses } = partsOf(file, action);
  const etags = new Map(known);
  const lengthOf = (part: number): number => Math.min(partBytes, file.sizeBytes - (part - 1) * partBytes);
  let counted = 0;
  const count = (bytes: number): void => {
    counted += bytes;
    upload.onBytes(bytes);
  };
  for (const part of etags.keys()) count(lengthOf(part));
  try {
    const parts = addresses.map((address, i) => ({ address, part: i + 1 })).filter(({ part }) => !etags.has(part));
    await atOnce(PARTS_AT_ONCE, parts, async ({ address, part }) => {
      const start = (part - 1) * partBytes;
      const answer = await upload.hub.send({
        method: 'PUT',
        to: address,
        signed: true,
        body: countedBody({ ...upload, onBytes: count }, file, start, start + lengthOf(part)),
        doing: `sending part ${part} of ${addresses.length} of ${file.path}`,
      });
      const etag = answer.headers.get('etag');
      if (etag === null || etag === '') throw new HearthError('upload_failed', `The storage did not confirm part ${part} of ${file.path}.`);
      etags.set(part, etag);
      await upload.records.write(file.sha256, { action, etags });
    });
    const body = jsonBody({ oid: file.sha256, parts: addresses.map((_, i) => ({ partNumber: i + 1, etag: etags.get(i + 1)! })) }, GIT_LFS);
    await upload.hub.send({ method: 'POST', to: action.href, signed: true, ...body, doing: `joining the parts of ${file.path}` });
  } catch (error) {
    upload.onBytes(-counted);
    throw error;
  }
  await upload.records.remove(file.sha256);
}

/** A body that tells what the network has taken; when it is made again, the try before is taken back. */
function countedBody(upload: Pick<ObjectUpload, 'onBytes'>, file: HashedFile, start: number, end: number) {
  let counted = 0;
  return () => {
    upload.onBytes(-counted);
    counted = 0;
    async function* pieces(): AsyncGenerator<Uint8Array, void> {
      for await (const piece of readListed(file, { start, end, buffers: NETWORK_BUFFERS })) {
        yield piece;
        counted += piece.length;
        upload.onBytes(piece.length);
      }
    }
    return { length: end - start, pieces: pieces() };
  };
}

/** Some tasks at a time; the first failure ends the others before their next one. */
async function atOnce<T>(limit: number, items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  let failed = false;
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined && !failed; item = queue.shift()) {
      try {
        await task(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: limit }, worker));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}
