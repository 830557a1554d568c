import { HearthError } from '../core/index.ts';
import type { Answer, AnswerCall, Frame, Target } from '../gateway/index.ts';
import { answerHeaders } from './answer-headers.ts';
import type { CallContext } from './bind.ts';
import { WholeResponse } from './text-response.ts';

type WireRequest = NonNullable<AnswerCall['raw']>;
type WithBytes = Answer & Required<Pick<Answer, 'bytes'>>;

/** The request as it came, for upstreams that speak its API (docs/spec/serving.md §6.5). */
export function asItCame(api: WireRequest['api'], path: string, { note }: Pick<CallContext, 'note'>): Pick<AnswerCall, 'raw'> {
  if (note.bytes === undefined) return {};
  return { raw: { api, path, bytes: note.bytes, body: note.body as WireRequest['body'] } };
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** An upstream's own events, as frames that go out as they are. Throws where the answer breaks off. */
export async function* rawFrames<T>({ bytes, events }: WithBytes): AsyncGenerator<Frame<T>, void> {
  try {
    for await (const piece of bytes.body) yield { kind: 'raw', text: decoder.decode(piece) };
  } finally {
    await closeEvents(events);
  }
}

/** An upstream's own JSON answer. */
export async function rawReply({ bytes, events }: WithBytes, headers: Readonly<Record<string, string>>): Promise<Response> {
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes.body) pieces.push(piece);
  await closeEvents(events);
  return new WholeResponse(Buffer.concat(pieces), { status: bytes.status, headers: { 'content-type': bytes.contentType, ...headers } });
}

export const hasBytes = (answer: Answer): answer is WithBytes => answer.bytes !== undefined;

/**
 * What an upstream answers to a body that only goes through, such as one for vectors; null where the name leads to a model of this machine.
 * Throws capability_mismatch where the upstream does not have the API.
 */
export async function answerOfUpstream(
  name: string,
  raw: Pick<AnswerCall, 'raw'>,
  { gateway, note, requestId, signal }: CallContext,
  /** In place of the refusal, where the upstream does not have the API. */
  otherwise?: (target: Target) => Response,
): Promise<Response | null> {
  // What is wrong with a model of this machine is said where it is used.
  const first = await gateway.targetOf(name, signal).catch(() => null);
  if (first === null || first.model !== undefined) return null;
  let refusal: HearthError | undefined;
  const refuse = (target: Target): never => {
    refusal = new HearthError(
      'capability_mismatch',
      `The upstream ${target.upstream} is not known to answer ${raw.raw?.path ?? 'this'}. If it does, name the path in remotes.${target.upstream}.passthroughPaths.`,
      { details: { param: 'model' } },
    );
    throw refusal;
  };
  try {
    const answer = await gateway.answer({ name, ...raw, requestId, decode: refuse, stream: false, signal });
    note.answer = answer;
    return hasBytes(answer) ? await rawReply(answer, answerHeaders(answer)) : null;
  } catch (error) {
    if (otherwise === undefined || error !== refusal) throw error;
    return otherwise(first);
  }
}

/** Counts and end come behind the bytes: whoever observes the answer hears of its end there. */
async function closeEvents(events: Answer['events']): Promise<void> {
  for await (const _ of events) {
    // An error among them is the one that the bytes ended with.
  }
}
