import { endpoints } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';

/** The error of a path that has no route, or none with this method, and its headers. */
export function unknownRoute(method: string, pathname: string): { readonly error: HearthError; readonly headers: Readonly<Record<string, string>> } {
  const shown = pathname.slice(0, 200);
  const methods = methodsOf(pathname);
  if (methods.length > 0) {
    const allow = methods.join(', ');
    return { error: new HearthError('method_not_allowed', `${shown} takes ${allow}, not ${method}.`), headers: { allow } };
  }
  const meant = meantBy(pathname);
  const hint = meant === undefined ? '' : ` Here it is ${meant.slice(0, 200)}: look at the base URL of your client.`;
  return { error: new HearthError('route_not_found', `There is no route ${shown}.${hint}`), headers: {} };
}

/** What a base URL without `/v1`, with two of them, or with a slash too many makes of a path is seen. */
function meantBy(pathname: string): string | undefined {
  const plain = pathname.replaceAll(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '');
  return [plain, `/v1${plain}`, plain.replace(/^\/v1(?=\/v1\/)/, ''), plain.replace(/^\/v1(?=\/)/, '')].find(
    (path) => path !== pathname && methodsOf(path).length > 0,
  );
}

const PATTERNS = Object.values(endpoints).flatMap(({ method, path, ...rest }) =>
  [path, ...('aliases' in rest ? rest.aliases : [])].map((each) => ({
    method,
    pattern: new RegExp(
      `^${each
        .replaceAll('.', '\\.')
        .replaceAll(/\{\w+\+\}/g, '.+')
        .replaceAll(/\{\w+\}/g, '[^/]+')}$`,
    ),
  })),
);

const methodsOf = (pathname: string): string[] => [...new Set(PATTERNS.filter(({ pattern }) => pattern.test(pathname)).map(({ method }) => method))];
