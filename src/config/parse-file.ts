import { isAlias, isMap, isScalar, LineCounter, type Node, parseAllDocuments, visit } from 'yaml';
import { CONFIG_KEYS, findKey, nearestKey } from './keys.ts';

export interface FileValue {
  readonly key: string;
  readonly value: unknown;
  readonly line: number;
}

export interface ParsedFile {
  readonly values: readonly FileValue[];
  /** Whole sentences with file and line; a file's own text is never repeated in them. */
  readonly problems: readonly string[];
}

/** Reads YAML 1.2 (core schema) or JSON: one document, plain values only, known keys only. */
export function parseFile(path: string, text: string, projectFile: boolean): ParsedFile {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { version: '1.2', schema: 'core', uniqueKeys: true, lineCounter: lines });
  if (!Array.isArray(documents) || documents.length === 0) return { values: [], problems: [] };
  if (documents.length > 1) return { values: [], problems: [`${path}: holds several documents; keep one.`] };
  const document = documents[0]!;
  const lineOf = (node: Node | null | undefined): number => lines.linePos(node?.range?.[0] ?? 0).line;
  const problems: string[] = document.errors.map((error) => {
    const at = lines.linePos(error.pos[0]);
    return `${path}:${at.line}:${at.col}: ${error.code === 'DUPLICATE_KEY' ? 'a key occurs twice' : 'is not valid YAML'}.`;
  });
  if (problems.length > 0) return { values: [], problems };
  visit(document, {
    Node(_, node) {
      if (isAlias(node) || ('anchor' in node && node.anchor !== undefined)) problems.push(`${path}:${lineOf(node)}: aliases and anchors are not allowed.`);
      if (node.tag !== undefined && node.tag !== null && !node.tag.startsWith('tag:yaml.org,2002:'))
        problems.push(`${path}:${lineOf(node)}: tags are not allowed.`);
    },
  });
  const values: FileValue[] = [];
  const walk = (node: unknown, prefix: string): void => {
    if (!isMap(node)) {
      problems.push(`${path}: ${prefix === '' ? 'the file' : prefix} must be a group of keys.`);
      return;
    }
    for (const pair of node.items) {
      const name = isScalar(pair.key) ? String(pair.key.value) : '?';
      const key = prefix === '' ? name : `${prefix}.${name}`;
      const line = lineOf(pair.key as Node);
      const known = CONFIG_KEYS.find((entry) => entry.name === key);
      if (known !== undefined) {
        if (projectFile && !known.projectSafe) problems.push(`${path}:${line}: ${key} cannot be set in a project file.`);
        else values.push({ key, value: (pair.value as Node | null)?.toJS(document) ?? null, line });
      } else if (CONFIG_KEYS.some((entry) => entry.name.startsWith(`${key}.`))) {
        if (pair.value !== null && !(isScalar(pair.value) && pair.value.value === null)) walk(pair.value, key);
      } else {
        const near = findKey(key)?.name ?? nearestKey(key);
        problems.push(`${path}:${line}: unknown key ${key}${near === undefined ? '' : `; did you mean ${near}?`}`);
      }
    }
  };
  if (problems.length === 0 && document.contents !== null) walk(document.contents, '');
  return { values, problems };
}
