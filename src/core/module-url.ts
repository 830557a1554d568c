/**
 * URL of a program file that is started by path (worker thread, child process): `.ts` in a checkout, `.js` in the package,
 * since the compiler rewrites import specifiers but no strings. `name` is relative and without extension.
 */
export function programUrl(base: string, name: string): URL {
  return new URL(`${name}${base.endsWith('.ts') ? '.ts' : '.js'}`, base);
}
