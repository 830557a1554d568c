import { createHash } from 'node:crypto';
import type { GenerateRequest } from '../../contract/index.ts';

/** Characters of a plain prompt that tell it from others. */
const PROMPT_HEAD = 2048;

/** What requests of one conversation share: model, adapter, tools, system messages and the first turn (docs/spec/serving.md §6.2). */
export function affinityKey(model: string, request: GenerateRequest): string {
  const hash = createHash('sha256');
  const add = (text: string) => hash.update(`${text.length}:`).update(text);
  add(model);
  add(request.adapter?.name ?? '');
  add(JSON.stringify(request.tools?.definitions ?? []));
  if (request.messages === undefined) add(request.prompt?.slice(0, PROMPT_HEAD) ?? JSON.stringify(request.tokens?.slice(0, PROMPT_HEAD) ?? []));
  for (const { role, content } of request.messages ?? []) {
    add(role);
    for (const part of content) {
      if (part.kind === 'text') add(part.text);
      else if (part.source.kind === 'url') add(part.source.url);
      else hash.update(part.source.bytes);
    }
    if (role !== 'system') break;
  }
  return hash.digest('base64url');
}
