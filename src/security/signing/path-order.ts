/**
 * The order of a signature's resources: path by path component, each as UTF-8 bytes (docs/spec/security.md §1). So `a/b` comes before `a-b`,
 * which a plain order of texts would turn round.
 */
export function comparePaths(a: string, b: string): number {
  const left = a.split('/');
  const right = b.split('/');
  for (let index = 0; index < Math.min(left.length, right.length); index += 1) {
    const order = Buffer.compare(Buffer.from(left[index]!), Buffer.from(right[index]!));
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

/** What two names become on a disk that knows neither case nor Unicode forms: equal texts would be one file there. */
export const foldedName = (name: string): string => name.normalize('NFC').toUpperCase().toLowerCase().normalize('NFC');

/** Whether the path is one of the ignored ones or lies below one. */
export const isCovered = (path: string, ignored: Iterable<string>): boolean => {
  for (const entry of ignored) if (path === entry || path.startsWith(`${entry}/`)) return true;
  return false;
};
