import { Template } from '@huggingface/jinja';
import { isJsonObject } from '../../core/index.ts';

/** What the interpreter knows; a name beyond these makes rendering fail, or gives nothing. */
const FILTERS = new Set(
  'abs bool capitalize default d e escape first float indent int items join last length count list lower map reject rejectattr replace reverse round safe select selectattr sort string title tojson trim unique upper wordcount'.split(
    ' ',
  ),
);
const TESTS = new Set(
  'boolean callable odd even false true none string number integer iterable mapping sequence lower upper defined undefined equalto eq'.split(' '),
);
const FUNCTIONS = new Set(['range', 'raise_exception', 'strftime_now', 'namespace', 'caller', 'loop']);

/** Filters, tests and functions of a template that nobody knows, such as `filter shell`. Throws SyntaxError where it cannot be parsed. */
export function unknownNames(source: string): string[] {
  const found = new Set<string>();
  const own = new Set<string>();
  const called: string[] = [];
  const open: unknown[] = [new Template(source).parsed];
  // A list of what is left instead of calls in calls: the depth is the template's choice.
  while (open.length > 0) {
    const node = open.pop();
    if (node instanceof Map) open.push(...node.keys(), ...node.values());
    else if (Array.isArray(node)) open.push(...(node as unknown[]));
    else if (isJsonObject(node)) {
      const { type } = node;
      if (type === 'FilterExpression' || type === 'FilterStatement') note('filter', FILTERS, nameOf(node['filter']));
      else if (type === 'TestExpression') note('test', TESTS, nameOf(node['test']));
      else if (type === 'CallExpression') called.push(directName(node['callee']) ?? 'loop');
      else if (type === 'Macro') own.add(nameOf(node['name']) ?? '');
      else if (type === 'Set') own.add(nameOf(node['assignee']) ?? '');
      // The name of a filter with arguments is no function.
      const { filter, ...rest } = node;
      open.push(...Object.values(rest), ...(isJsonObject(filter) && filter['type'] === 'CallExpression' ? [filter['args']] : []));
    }
  }
  for (const name of called) if (!own.has(name)) note('function', FUNCTIONS, name);
  return [...found].sort();

  function note(what: string, known: ReadonlySet<string>, name: string | null): void {
    if (name !== null && !known.has(name)) found.add(`${what} ${name.slice(0, 60)}`);
  }
}

/** An identifier, or what a call calls. */
function nameOf(node: unknown): string | null {
  if (!isJsonObject(node)) return null;
  return node['type'] === 'CallExpression' ? nameOf(node['callee']) : directName(node);
}

const directName = (node: unknown): string | null =>
  isJsonObject(node) && node['type'] === 'Identifier' && typeof node['value'] === 'string' ? node['value'] : null;
