import type { SignatureProblem } from './types.ts';

export const problem = (code: string, message: string, more: Omit<SignatureProblem, 'code' | 'message'> = {}): SignatureProblem => ({ code, message, ...more });

/** Many problems of one kind would drown the others: the first ones are kept, and the last of them says how many more there are. */
export function addLimited(into: SignatureProblem[], found: readonly SignatureProblem[], limit = 1000): void {
  into.push(...found.slice(0, limit));
  const more = found.length - limit;
  if (more > 0) into.push(problem(found[limit]!.code, `${more} more of the same kind.`));
}
