#!/usr/bin/env node
// Prints, per specification, how many rows of its check table have passing, failing, skipped and missing tests.
// A test names its rows in its title: "[store K12] list shows six columns".
//   npm run spec                      runs the tests, then prints
//   npm run spec -- --report FILE     reads a report of `vitest --reporter=json` instead
//   npm run spec -- --list missing    also lists the rows (missing, failed, skipped); --doc NAME limits to one document
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const option = (name) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};
const list = option('--list');
const only = option('--doc');
let report = option('--report');
if (!report) {
  report = join(root, 'report.json');
  spawnSync(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Document → row id → {text, statuses}. The check table is the last section whose heading says so; withdrawn rows do not count. */
const documents = new Map();
for (const file of readdirSync(join(root, 'docs/spec')).filter((f) => f.endsWith('.md') && f !== 'README.md')) {
  const text = readFileSync(join(root, 'docs/spec', file), 'utf8');
  const start = [...text.matchAll(/^## .*(?:Acceptance|Checks).*$/gm)].at(-1)?.index;
  if (start === undefined) continue;
  const rows = [...text.slice(start).matchAll(/^\| ([A-Z]\d+) \|(.*)$/gm)].filter((m) => !/\|\s*withdrawn\s*\|?\s*$/i.test(m[2]));
  documents.set(basename(file, '.md'), new Map(rows.map((m) => [m[1], { text: m[2].split('|')[0].trim(), statuses: new Set() }])));
}

const unknown = new Set();
for (const suite of JSON.parse(readFileSync(report, 'utf8')).testResults) {
  for (const test of suite.assertionResults) {
    for (const m of test.fullName.matchAll(/\[([a-z-]+) ([A-Z]\d+)(?:\.\d+)?\]/g)) {
      const found = documents.get(m[1])?.get(m[2]);
      if (found) found.statuses.add(test.status === 'passed' || test.status === 'failed' ? test.status : 'skipped');
      else unknown.add(m[0]);
    }
  }
}
const statusOf = (row) => ['failed', 'passed', 'skipped'].find((s) => row.statuses.has(s)) ?? 'missing';

const columns = ['rows', 'passed', 'failed', 'skipped', 'missing'];
const line = (name, counts) => console.log(name.padEnd(18) + columns.map((c) => String(counts[c]).padStart(9)).join(''));
const total = Object.fromEntries(columns.map((c) => [c, 0]));
console.log('document'.padEnd(18) + columns.map((c) => c.padStart(9)).join(''));
for (const [name, rows] of documents) {
  if (only && only !== name) continue;
  const counts = Object.fromEntries(columns.map((c) => [c, 0]));
  for (const row of rows.values()) {
    counts.rows++;
    counts[statusOf(row)]++;
  }
  for (const c of columns) total[c] += counts[c];
  line(name, counts);
  if (list) for (const [id, row] of rows) if (statusOf(row) === list) console.log(`    ${id} ${row.text}`);
}
line('all', total);
if (unknown.size) console.log(`rows named by tests that no document has: ${[...unknown].join(' ')}`);
