import { randomInt } from 'node:crypto';

const CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** A prefix such as `toolu_` and 24 letters and digits (docs/spec/serving.md §3.2). */
export const newAnswerId = (prefix: string): string => prefix + Array.from({ length: 24 }, () => CHARACTERS[randomInt(CHARACTERS.length)]).join('');

/** Ids of the calls of one answer in the form of a dialect: distinct, and the engine's own where it has the 24 characters of ours. */
export function createCallIds(prefix: string): (id: string) => string {
  const given = new Set<string>();
  return (id) => {
    const own = /^(?:call_|toolu_)([A-Za-z0-9]{24})$/.exec(id)?.[1];
    const same = id.startsWith(prefix) && /^[A-Za-z0-9_-]{1,128}$/.test(id) ? id : own === undefined ? null : prefix + own;
    const told = same === null || given.has(same) ? newAnswerId(prefix) : same;
    given.add(told);
    return told;
  };
}
