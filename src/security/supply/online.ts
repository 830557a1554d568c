import { HearthError } from '../../core/index.ts';
import { fetchGuarded, type GuardedFetchOptions } from '../access/guarded-fetch.ts';
import { packageName } from './osv.ts';
import type { Ecosystem, Lock, OsvRecord } from './types.ts';

export const OSV_ENDPOINT = 'https://api.osv.dev';

export interface OnlineOptions {
  readonly endpoint?: string;
  readonly signal: AbortSignal;
  /** For tests. */
  readonly network?: Pick<GuardedFetchOptions, 'resolve' | 'dial' | 'timeoutMs'>;
}

const BATCH = 500;
const AT_ONCE = 8;
const MAX_BYTES = 64 * 1024 * 1024;

interface BatchAnswer {
  readonly results?: readonly { readonly vulns?: readonly { readonly id: string }[]; readonly next_page_token?: string }[];
}

/**
 * Asks the OSV service for the records of every package of the locks: names and versions leave the machine, so this is done only when the user
 * asks. `POST /v1/querybatch` tells ids, `GET /v1/vulns/{id}` the records, which are then judged here. Throws dependency_check_failed.
 */
export async function askOsv(locks: readonly Lock[], options: OnlineOptions): Promise<(ecosystem: Ecosystem, name: string) => readonly OsvRecord[]> {
  const wanted = new Map(
    locks.flatMap(({ packages }) => packages.map(({ ecosystem, name, version }) => [`${ecosystem} ${name} ${version}`, { ecosystem, name, version }])),
  );
  let queries: Query[] = [...wanted.values()].map(({ ecosystem, name, version }) => ({ package: { ecosystem, name }, version }));
  const ids = new Set<string>();
  while (queries.length > 0) {
    const batch = queries.slice(0, BATCH);
    const { results = [] } = (await ask('/v1/querybatch', options, JSON.stringify({ queries: batch }))) as BatchAnswer;
    if (results.length !== batch.length) throw new HearthError('dependency_check_failed', 'The vulnerability service left out answers.');
    for (const { vulns = [] } of results) for (const { id } of vulns) ids.add(id);
    const more = results.flatMap(({ next_page_token: token }, i) => (token === undefined ? [] : [{ ...batch[i]!, page_token: token }]));
    queries = [...queries.slice(BATCH), ...more];
  }
  const records = await recordsOf([...ids], options);
  const byPackage = new Map<string, OsvRecord[]>();
  for (const record of records)
    for (const key of new Set((record.affected ?? []).map(({ package: its }) => keyOf(its?.ecosystem ?? '', its?.name ?? '')))) {
      byPackage.set(key, [...(byPackage.get(key) ?? []), record]);
    }
  return (ecosystem, name) => byPackage.get(keyOf(ecosystem, name)) ?? [];
}

interface Query {
  readonly package: { readonly ecosystem: string; readonly name: string };
  readonly version: string;
  readonly page_token?: string;
}

const keyOf = (ecosystem: string, name: string): string => `${ecosystem.split(':', 1)[0]} ${packageName(ecosystem, name)}`;

async function recordsOf(ids: string[], options: OnlineOptions): Promise<OsvRecord[]> {
  const records: OsvRecord[] = [];
  const work = async (): Promise<void> => {
    for (let id = ids.pop(); id !== undefined; id = ids.pop()) records.push((await ask(`/v1/vulns/${encodeURIComponent(id)}`, options)) as OsvRecord);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return records;
}

async function ask(path: string, { endpoint = OSV_ENDPOINT, signal, network }: OnlineOptions, body?: string): Promise<unknown> {
  try {
    const post = body === undefined ? {} : { post: { mediaType: 'application/json', text: body } };
    const { bytes } = await fetchGuarded(`${endpoint}${path}`, { maxBytes: MAX_BYTES, timeoutMs: 60_000, signal, ...network, ...post });
    return JSON.parse(new TextDecoder().decode(bytes)) as unknown;
  } catch (error) {
    if (signal.aborted) throw error;
    throw new HearthError('dependency_check_failed', `The vulnerability service at ${endpoint} did not answer: ${(error as Error).message}`, { cause: error });
  }
}
