import { HearthError, isHearthError } from '../core/index.ts';

export interface UploadForm {
  /** Texts by name; a name that ends in `[]` is a list under the name without it. */
  readonly fields: Readonly<Record<string, string | readonly string[]>>;
  readonly file: Uint8Array;
}

/** Room for the other fields and the borders between them. */
const REST_BYTES = 1024 * 1024;

/**
 * A `multipart/form-data` body with one file in the field `file`. Throws unsupported_media_type, request_too_large as soon as it is known, and
 * invalid_value naming the field.
 */
export async function readUploadForm(request: Request, maxFileBytes: number): Promise<UploadForm> {
  const type = request.headers.get('content-type') ?? '';
  if (!/^multipart\/form-data\s*;/i.test(type))
    throw new HearthError('unsupported_media_type', `The body has the type ${type.split(';', 1)[0]!.slice(0, 100) || 'none'}; multipart/form-data is needed.`);
  if ((request.headers.get('content-encoding') ?? 'identity') !== 'identity') throw new HearthError('unsupported_media_type', 'An upload is not compressed.');
  const bytes = await readCapped(request, maxFileBytes);
  const form = await parse(bytes, type);
  const fields: Record<string, string | string[]> = {};
  for (const [name, value] of form.entries()) {
    if (typeof value !== 'string') continue;
    const list = /^(.+)\[\]$/.exec(name)?.[1];
    if (list !== undefined) fields[list] = [...(Array.isArray(fields[list]) ? fields[list] : []), value];
    else if (Object.hasOwn(fields, name)) throw wrong(name, `${name.slice(0, 64)} is given more than once.`);
    else if (name !== '__proto__') fields[name] = value;
  }
  const files = form.getAll('file').filter((value) => typeof value !== 'string');
  const [file] = files;
  if (file === undefined || files.length > 1) throw wrong('file', files.length > 1 ? 'One file at a time is taken.' : 'file is needed.');
  if (file.size === 0) throw wrong('file', 'The file is empty.');
  if (file.size > maxFileBytes) throw tooLarge(maxFileBytes);
  return { fields, file: new Uint8Array(await file.arrayBuffer()) };
}

async function readCapped(request: Request, maxFileBytes: number): Promise<Buffer> {
  const max = maxFileBytes + REST_BYTES;
  if (Number(request.headers.get('content-length') ?? 0) > max) throw tooLarge(maxFileBytes);
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of request.body ?? []) {
      size += chunk.byteLength;
      if (size > max) throw tooLarge(maxFileBytes);
      chunks.push(chunk);
    }
  } catch (error) {
    if (isHearthError(error)) throw error;
    throw new HearthError('invalid_value', 'The body ended early.', { cause: error, details: { param: 'file' } });
  }
  return Buffer.concat(chunks);
}

async function parse(bytes: Buffer, type: string): Promise<FormData> {
  try {
    return await new Response(new Uint8Array(bytes), { headers: { 'content-type': type } }).formData();
  } catch (error) {
    throw new HearthError('invalid_value', 'The body is no complete form.', { cause: error, details: { param: 'file' } });
  }
}

const wrong = (param: string, message: string): HearthError => new HearthError('invalid_value', message, { details: { param: param.slice(0, 100) } });

const tooLarge = (maxBytes: number): HearthError => new HearthError('request_too_large', `A file has at most ${maxBytes} bytes.`);
