/** A validator of its own for the keywords that hearth enforces: tests judge generated documents by it. Says what is wrong, or null. */
export function violation(schema: unknown, value: unknown, root: unknown = schema, at = '$'): string | null {
  if (schema === true) return null;
  if (schema === false) return `${at}: nothing is allowed`;
  const s = schema as Record<string, unknown>;
  const all = (parts: (string | null)[]): string | null => parts.find((part) => part !== null) ?? null;
  const checks: (string | null)[] = [];
  if (typeof s['$ref'] === 'string') checks.push(violation(pointer(root, s['$ref']), value, root, at));
  if (s['type'] !== undefined) checks.push([s['type']].flat().some((type) => isOf(type as string, value)) ? null : `${at}: not of type ${String(s['type'])}`);
  if ('const' in s) checks.push(same(s['const'], value) ? null : `${at}: not the constant`);
  if (Array.isArray(s['enum'])) checks.push(s['enum'].some((one) => same(one, value)) ? null : `${at}: not in the enum`);
  if (Array.isArray(s['allOf'])) checks.push(all(s['allOf'].map((one) => violation(one, value, root, at))));
  if (Array.isArray(s['anyOf'])) checks.push(s['anyOf'].some((one) => violation(one, value, root, at) === null) ? null : `${at}: none of anyOf`);
  if (Array.isArray(s['oneOf'])) {
    const count = s['oneOf'].filter((one) => violation(one, value, root, at) === null).length;
    checks.push(count === 1 ? null : `${at}: ${count} of oneOf`);
  }
  if (typeof value === 'string') checks.push(...ofString(s, value, at));
  if (typeof value === 'number') {
    if (typeof s['minimum'] === 'number') checks.push(value >= s['minimum'] ? null : `${at}: below the minimum`);
    if (typeof s['maximum'] === 'number') checks.push(value <= s['maximum'] ? null : `${at}: above the maximum`);
  }
  if (Array.isArray(value)) checks.push(...ofArray(s, value, root, at));
  else if (typeof value === 'object' && value !== null) checks.push(...ofObject(s, value as Record<string, unknown>, root, at));
  return all(checks);
}

const FORMATS: Record<string, (value: string) => boolean> = {
  date: (value) =>
    /^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(Date.parse(`${value}T00:00:00Z`)) && new Date(`${value}T00:00:00Z`).toISOString().startsWith(value),
  time: (value) => /^\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value) && !Number.isNaN(Date.parse(`2000-01-01T${value}`)),
  'date-time': (value) => value[10] === 'T' && !Number.isNaN(Date.parse(value)),
  uuid: (value) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value),
  email: (value) => /^[^@\s"]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$/.test(value),
  ipv4: (value) => value.split('.').length === 4 && value.split('.').every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256),
  ipv6: (value) => URL.canParse(`http://[${value}]/`),
};

function ofString(s: Record<string, unknown>, value: string, at: string): (string | null)[] {
  const length = Array.from(value).length;
  return [
    typeof s['minLength'] === 'number' && length < s['minLength'] ? `${at}: too short` : null,
    typeof s['maxLength'] === 'number' && length > s['maxLength'] ? `${at}: too long` : null,
    typeof s['pattern'] === 'string' && !new RegExp(s['pattern'], 'u').test(value) ? `${at}: ${JSON.stringify(value)} does not match ${s['pattern']}` : null,
    typeof s['format'] === 'string' && FORMATS[s['format']]?.(value) !== true ? `${at}: ${JSON.stringify(value)} is no ${s['format']}` : null,
    value.isWellFormed() ? null : `${at}: half a character`,
  ];
}

function ofArray(s: Record<string, unknown>, value: unknown[], root: unknown, at: string): (string | null)[] {
  const prefixes = (s['prefixItems'] ?? []) as unknown[];
  return [
    typeof s['minItems'] === 'number' && value.length < s['minItems'] ? `${at}: too few items` : null,
    typeof s['maxItems'] === 'number' && value.length > s['maxItems'] ? `${at}: too many items` : null,
    ...value.map((item, i) => violation(i < prefixes.length ? prefixes[i] : (s['items'] ?? true), item, root, `${at}[${i}]`)),
  ];
}

function ofObject(s: Record<string, unknown>, value: Record<string, unknown>, root: unknown, at: string): (string | null)[] {
  const properties = (s['properties'] ?? {}) as Record<string, unknown>;
  return [
    ...((s['required'] ?? []) as string[]).map((key) => (key in value ? null : `${at}: ${key} is missing`)),
    ...Object.entries(value).map(([key, item]) =>
      violation(Object.hasOwn(properties, key) ? properties[key] : (s['additionalProperties'] ?? true), item, root, `${at}.${key}`),
    ),
  ];
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

function isOf(type: string, value: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'array') return Array.isArray(value);
  if (type === 'null') return value === null;
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  return typeof value === type;
}

function pointer(root: unknown, reference: string): unknown {
  return reference
    .slice(1)
    .split('/')
    .slice(1)
    .reduce((node, key) => (node as Record<string, unknown>)[key.replaceAll('~1', '/').replaceAll('~0', '~')], root);
}
