import { z } from 'zod';
import { HearthError, readManagedFile } from '../../core/index.ts';
import type { Vulnerability } from './types.ts';

const exception = z.strictObject({
  id: z.string().min(1).describe('any name of the vulnerability'),
  package: z.string().min(1),
  reason: z.string().min(1),
  owner: z.string().min(1).describe('who answers for it'),
  expires: z.iso.date({ error: 'must be a date such as 2027-01-31' }).describe('last day, UTC'),
});
const file = z.strictObject({ v: z.literal(1), exceptions: z.array(exception) });

/** A vulnerability that somebody has looked at, and that does not count until a day. */
export type DependencyException = z.infer<typeof exception>;

/** `<home>/deps-exceptions.json`; without the file there is none. Throws config_invalid with every problem. */
export function readExceptions(path: string): readonly DependencyException[] {
  const text = readManagedFile(path);
  if (text === null) return [];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HearthError('config_invalid', `${path} is no JSON.`, { cause: error });
  }
  const read = file.safeParse(value);
  if (read.success) return read.data.exceptions;
  const problems = read.error.issues.map(({ path: at, message }) => `${at.join('.') || 'the file'}: ${message}`);
  throw new HearthError('config_invalid', `${path} is not a list of exceptions: ${problems.join('; ')}.`);
}

const DAY_MS = 86_400_000;

export const isExpired = ({ expires }: DependencyException, nowMs: number): boolean => nowMs >= Date.parse(`${expires}T00:00:00Z`) + DAY_MS;

/** The exception for a finding; a malicious package has none. */
export const exceptionFor = (found: Vulnerability, exceptions: readonly DependencyException[]): DependencyException | null =>
  found.malicious ? null : (exceptions.find((each) => each.package === found.package && [found.id, ...found.aliases].includes(each.id)) ?? null);
