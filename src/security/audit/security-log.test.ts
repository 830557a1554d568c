import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Clock, registerSecret, type SecurityEvent } from '../../core/index.ts';
import { type AuditLine, createSecurityLog, logPlaces, readLog, type SecurityLogOptions, verifyLog } from './index.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'hearth-audit-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const load = (id: string): SecurityEvent => ({ event: 'model.load', outcome: 'ok', model: { id } });
const linesOf = (): Promise<AuditLine[]> => allOf(readLog(logPlaces(home)));

async function allOf<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of source) all.push(each);
  return all;
}

const filesOf = (): string[] => readdirSync(join(home, 'audit')).filter((name) => name.endsWith('.jsonl'));
const fileOf = (): string => join(home, 'audit', filesOf()[0]!);

async function writeEvents(count: number, options: Partial<SecurityLogOptions> = {}): Promise<void> {
  await using log = createSecurityLog({ home, ...options });
  for (let i = 0; i < count; i += 1) log.record(load(`org/model-${i}`));
}

function fakeClock(startMs: number): Clock & { advance(ms: number): void } {
  let now = startMs;
  return {
    now: () => now,
    monotonic: () => now - startMs,
    advance: (ms) => {
      now += ms;
    },
  };
}

describe('the security log', () => {
  test('a home without events has no log, and a log that was opened for none leaves none', async () => {
    await writeEvents(0);
    expect(existsSync(join(home, 'audit'))).toBe(false);
    expect(await verifyLog(logPlaces(home))).toMatchObject({ ok: true, lines: 0, faults: [] });
  });

  test('each event becomes one line with every field, chained to the one before, in files for their owner alone', async () => {
    await using log = createSecurityLog({ home });
    log.record({ ...load('org/a'), actor: { key: 'abc', ip: '127.0.0.1' }, requestId: 'req_1', traceId: 'ab', reason: 'asked', details: { bytes: 3 } });
    log.record({ event: 'model.refused', outcome: 'denied', model: { id: 'org/b' }, reason: 'file_changed' });
    expect(await log.flush()).toBe(true);
    const [first, second] = await linesOf();
    expect(Object.keys(first!)).toEqual('v seq ts mono boot host pid event severity outcome actor model requestId traceId reason details prev hash'.split(' '));
    expect(first).toMatchObject({ v: 1, seq: 1, pid: process.pid, severity: 'info', prev: '0'.repeat(64), details: { bytes: 3 } });
    expect(second).toMatchObject({ seq: 2, severity: 'high', prev: first!.hash, actor: null, details: null });
    for (const name of readdirSync(join(home, 'audit'))) expect(statSync(join(home, 'audit', name)).mode & 0o077).toBe(0);
    expect(statSync(join(home, 'audit')).mode & 0o077).toBe(0);
  });

  test('the numbers go on over a restart, and another process is told of by a checkpoint of its own at its end', async () => {
    await writeEvents(2);
    await writeEvents(2);
    const lines = await linesOf();
    expect(lines.map(({ seq, event }) => [seq, event])).toEqual([
      [1, 'model.load'],
      [2, 'model.load'],
      [3, 'audit.checkpoint'],
      [4, 'model.load'],
      [5, 'model.load'],
      [6, 'audit.checkpoint'],
    ]);
    expect(await verifyLog(logPlaces(home))).toMatchObject({ ok: true, lines: 6, checkpoints: 2, signedThroughSeq: 5, lastSeq: 6 });
  });

  test('two logs of one home that are open at once write one chain', async () => {
    await using a = createSecurityLog({ home });
    await using b = createSecurityLog({ home });
    const heard: number[] = [];
    a.subscribe(({ seq }) => heard.push(seq));
    for (let i = 0; i < 20; i += 1) {
      a.record({ event: 'push.blocked', outcome: 'denied', details: { i } });
      b.record({ event: 'model.refused', outcome: 'denied', details: { i } });
    }
    await a.flush();
    await b.flush();
    const lines = await linesOf();
    expect(lines.map(({ event }) => event)).toEqual(Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 'push.blocked' : 'model.refused')));
    expect((await verifyLog(logPlaces(home))).ok).toBe(true);
    // The lines of the other one are heard as soon as they are seen.
    expect(heard).toEqual(Array.from({ length: 39 }, (_, i) => i + 1));
  });

  test('a file ends with its size and with its day, and the next one goes on in the same chain', async () => {
    const clock = fakeClock(Date.UTC(2027, 0, 1, 23, 59));
    await using log = createSecurityLog({ home, clock, maxFileBytes: 2000 });
    for (let i = 0; i < 8; i += 1) log.record({ event: 'config.change', outcome: 'ok' });
    await log.flush();
    const bySize = filesOf().length;
    expect(bySize).toBeGreaterThan(1);
    clock.advance(120_000);
    log.record({ event: 'config.change', outcome: 'ok' });
    await log.flush();
    expect(filesOf()).toHaveLength(bySize + 1);
    expect(filesOf()).toContain('security-9.jsonl');
    expect((await linesOf()).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect((await verifyLog(logPlaces(home))).ok).toBe(true);
  });

  test('old files go when the log is too large, and what is left still verifies', async () => {
    await writeEvents(60, { maxFileBytes: 2000, retentionBytes: 6000 });
    const report = await verifyLog(logPlaces(home));
    expect(report).toMatchObject({ ok: true, faults: [] });
    expect(report.lastSeq).toBeGreaterThan(60);
    expect(report.firstSeq).toBeGreaterThan(1);
    // Somebody else's removal is no retention.
    rmSync(join(home, 'audit', `security-${report.firstSeq}.jsonl`));
    expect((await verifyLog(logPlaces(home))).faults[0]).toMatchObject({ code: 'line_missing' });
  });

  test('a line that a crash cut off is closed by an event with its bytes, and the log stays whole', async () => {
    await writeEvents(3);
    const size = statSync(fileOf()).size;
    appendFileSync(fileOf(), '{"v":1,"seq":5,"ts":"2027-');
    expect(await verifyLog(logPlaces(home))).toMatchObject({ ok: true, gaps: [{ from: size }] });
    await writeEvents(1);
    const gap = (await linesOf()).find(({ event }) => event === 'audit.gap');
    expect(gap).toMatchObject({ seq: 5, severity: 'critical', reason: 'torn', details: { file: 'security-1.jsonl', from: size, to: size + 26 } });
    expect(await verifyLog(logPlaces(home))).toMatchObject({ ok: true, faults: [], gaps: [{ seq: 5, from: size, to: size + 26 }], lastSeq: 7 });
  });

  test('numbers have no gap over a killed writer, whatever it was about to write', async () => {
    const program = `
      const { createSecurityLog } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
      const log = createSecurityLog({ home: ${JSON.stringify(home)}, maxFileBytes: 4000 });
      for (let i = 0; ; i += 1) { log.record({ event: i % 3 ? 'model.load' : 'key.add', outcome: 'ok' }); if (i % 50 === 0) await new Promise(setImmediate); }`;
    for (let round = 0; round < 5; round += 1) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'ignore', 'inherit'] });
      const before = (await linesOf()).length;
      while ((await linesOf()).length < before + 20 && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 20));
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('exit', resolve));
    }
    await writeEvents(1);
    const lines = await linesOf();
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, i) => i + 1));
    expect(await verifyLog(logPlaces(home))).toMatchObject({ ok: true, faults: [] });
  });

  test('secrets, long texts and long details do not get into it', async () => {
    registerSecret('test', 'hunter2-hunter2');
    await using log = createSecurityLog({ home });
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`name-${i}`, 'x'.repeat(300)]));
    log.record({ event: 'config.change', outcome: 'ok', details: { text: 'it is hunter2-hunter2', token: 'abc', long: 'y'.repeat(9999) } });
    log.record({ event: 'config.change', outcome: 'ok', details: many });
    log.record({ event: 'config.change', outcome: 'ok', details: { odd: '\ud800', none: Number.NaN, loop: new Error('why'), deep: { fine: [1n] } } });
    await log.flush();
    const [first, second, third] = await linesOf();
    expect(readFileSync(fileOf(), 'utf8')).not.toContain('hunter2');
    expect(JSON.stringify(first!.details)).not.toContain('abc');
    expect(String(first!.details!['long'])).toHaveLength(513);
    expect(Buffer.byteLength(JSON.stringify(second!.details))).toBeLessThanOrEqual(4096);
    expect(second!.details!['cut']).toBeGreaterThan(20);
    expect(third!.details).toEqual({ odd: '\ufffd', none: null, loop: 'why', deep: { fine: ['1'] } });
  });

  test('of refused requests a hundred in a minute are written down, then they are counted by reason', async () => {
    const clock = fakeClock(Date.UTC(2027, 0, 1));
    await using log = createSecurityLog({ home, clock });
    for (let i = 0; i < 250; i += 1) log.record({ event: 'input.rejected', outcome: 'denied', reason: i % 2 ? 'invalid_json' : 'invalid_value' });
    clock.advance(60_000);
    log.record({ event: 'input.rejected', outcome: 'denied', reason: 'invalid_json' });
    await log.flush();
    const lines = await linesOf();
    expect(lines).toHaveLength(102);
    expect(lines[100]).toMatchObject({ reason: 'sampled', details: { omitted: 150, reasons: { invalid_json: 75, invalid_value: 75 } } });
  });

  test('a checkpoint comes after so many lines, and with every beat of a daemon, also when nothing happened', async () => {
    await writeEvents(600);
    const events = (await linesOf()).filter(({ event }) => event === 'audit.checkpoint');
    expect(events.length).toBeGreaterThanOrEqual(1);
    await using log = createSecurityLog({ home, heartbeatMs: 20 });
    const beats = new Promise<void>((resolve) => {
      let seen = 0;
      log.subscribe(({ event }) => {
        if (event === 'audit.checkpoint') seen += 1;
        if (seen === 3) resolve();
      });
    });
    await beats;
    expect((await verifyLog(logPlaces(home))).ok).toBe(true);
  });

  test('what is risky is refused while nothing can be written, and nothing is lost meanwhile', async () => {
    const program = `
      process.on('SIGXFSZ', () => {});
      const { createSecurityLog } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
      const log = createSecurityLog({ home: ${JSON.stringify(home)} });
      let refused = null;
      for (let i = 0; i < 500 && refused === null; i += 1) {
        log.record({ event: 'key.add', outcome: 'ok', details: { i, text: 'x'.repeat(400) } });
        try { log.assertWritable(); } catch (error) { refused = { code: error.code, i }; }
      }
      console.log(JSON.stringify(refused));
      process.exit(0);`;
    writeFileSync(join(home, 'program.mjs'), program);
    // A file may not grow beyond 64 blocks of 1024 bytes: what a full disk looks like to one process.
    const child = spawn('/bin/bash', ['-c', `ulimit -f 64; exec "${process.execPath}" "${join(home, 'program.mjs')}"`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const out = (await allOf(child.stdout as AsyncIterable<Buffer>)).join('');
    const refused = JSON.parse(out) as { code: string; i: number };
    expect(['file_system_error', 'insufficient_space']).toContain(refused.code);
    expect((await linesOf()).map(({ seq }) => seq)).toEqual(Array.from({ length: refused.i }, (_, i) => i + 1));
    expect(await verifyLog(logPlaces(home))).toMatchObject({ ok: true, gaps: [] });
  });
});

describe('verification of the log', () => {
  const edit = (change: (lines: string[]) => string[]): void => {
    const path = fileOf();
    writeFileSync(path, `${change(readFileSync(path, 'utf8').trimEnd().split('\n')).join('\n')}\n`);
  };
  const faults = async () => (await verifyLog(logPlaces(home))).faults.map(({ code, seq }) => `${code} ${seq}`);
  const rechained = async (lines: string[], from: number): Promise<string[]> => {
    const { hashOf, textOf } = await import('./line.ts');
    const out = lines.slice(0, from);
    for (const text of lines.slice(from)) {
      const line = JSON.parse(text) as AuditLine;
      const prev = out.length === 0 ? '0'.repeat(64) : (JSON.parse(out.at(-1)!) as AuditLine).hash;
      const next = { ...line, seq: out.length + 1, prev };
      out.push(textOf({ ...next, hash: hashOf(next) }));
    }
    return out;
  };

  beforeEach(async () => await writeEvents(9));

  test('[security G71] an edited line is found, with its number and its place', async () => {
    edit((lines) => lines.map((line, i) => (i === 4 ? line.replace('org/model-4', 'org/model-X') : line)));
    const { ok, faults } = await verifyLog(logPlaces(home));
    const byte = readFileSync(fileOf(), 'utf8').split('\n').slice(0, 4).join('\n').length + 1;
    expect(ok).toBe(false);
    expect(faults).toEqual([expect.objectContaining({ code: 'line_changed', seq: 5, file: 'security-1.jsonl', byte })]);
  });

  test('[security G71] an edit that changes no meaning, or comes with its own hash, is found', async () => {
    edit((lines) => lines.map((line, i) => (i === 2 ? line.replace('"v":1,', '"v": 1,') : line)));
    expect(await faults()).toEqual(['line_changed 3']);
    edit((lines) => lines.map((line, i) => (i === 2 ? line.replace('"v": 1,', '"v":1,') : line)));
    expect(await faults()).toEqual([]);
    const whole = readFileSync(fileOf(), 'utf8').trimEnd().split('\n');
    const [third] = await rechained([...whole.slice(0, 2), whole[2]!.replace('org/model-2', 'org/model-X')], 2).then((lines) => lines.slice(2));
    edit((lines) => lines.map((line, i) => (i === 2 ? third! : line)));
    expect(await faults()).toEqual(['line_changed 3']);
  });

  test('[security G71] a deleted line is found', async () => {
    edit((lines) => lines.toSpliced(3, 2));
    expect(await faults()).toEqual(['line_missing 4']);
  });

  test('[security G71] an inserted line is found, a copy and a new one', async () => {
    const whole = readFileSync(fileOf(), 'utf8');
    edit((lines) => lines.toSpliced(5, 0, lines[2]!));
    expect(await faults()).toEqual(['line_order 3']);
    writeFileSync(fileOf(), whole);
    const lines = whole.trimEnd().split('\n');
    const forged = (await rechained(lines.toSpliced(5, 0, lines[2]!).slice(0, 6), 5)).at(-1)!;
    edit((now) => now.toSpliced(5, 0, forged));
    expect(await faults()).toEqual(['line_order 6', 'line_changed 6']);
  });

  test('[security G71] lines in another order are found', async () => {
    edit((lines) => [...lines.slice(0, 5), lines[6]!, lines[5]!, ...lines.slice(7)]);
    expect(await faults()).toEqual(['line_missing 6', 'line_order 6']);
  });

  test('[security G71] a log that was cut off is found, at a line and inside one, with and without its checkpoint', async () => {
    const path = fileOf();
    const text = readFileSync(path, 'utf8');
    truncateSync(path, text.indexOf('"seq":8') - 7);
    expect(await faults()).toEqual(['truncated 8']);
    truncateSync(path, text.indexOf('"seq":6') + 20);
    expect(await faults()).toEqual(['truncated 6']);
    rmSync(path);
    expect(await faults()).toEqual(['truncated 1']);
  });

  test('[security G71] a log that is written on after it was cut off still tells it', async () => {
    truncateSync(fileOf(), readFileSync(fileOf(), 'utf8').indexOf('"seq":8') - 7);
    await writeEvents(1);
    expect(await faults()).toEqual(['truncated 8']);
    expect((await linesOf()).find(({ event }) => event === 'audit.gap')).toMatchObject({ reason: 'truncated', details: { firstSeq: 8, lastSeq: 10 } });
  });

  test('[security G71] a whole file in place of the old one is found, also with a chain that fits in itself', async () => {
    const text = readFileSync(fileOf(), 'utf8');
    const lines = await rechained(text.trimEnd().split('\n').toSpliced(3, 1), 0);
    edit(() => lines);
    expect(await faults()).toEqual(['checkpoint_invalid 9', 'truncated 10']);
    // With the old checkpoint behind it, that does not follow.
    const without = await rechained(text.split('\n').slice(0, 9).toSpliced(3, 1, text.split('\n')[1]!), 0);
    edit(() => [...without, text.split('\n')[9]!]);
    expect(await faults()).toEqual(['line_changed 9']);
  });

  test('[security G71] the log of another home in place of this one is found by its key', async () => {
    const other = mkdtempSync(join(tmpdir(), 'hearth-audit-'));
    try {
      const places = logPlaces(other);
      await using log = createSecurityLog({ home: other });
      for (let i = 0; i < 9; i += 1) log.record(load(`org/other-${i}`));
      await log[Symbol.asyncDispose]();
      writeFileSync(fileOf(), readFileSync(join(places.directory, 'security-1.jsonl')));
      expect(await faults()).toEqual(['checkpoint_invalid 10', 'file_replaced 10']);
      // Whoever kept the public half elsewhere finds it also where everything was replaced.
      const publicKey = readFileSync(join(home, 'audit', 'checkpoint.pub'), 'utf8');
      expect((await verifyLog({ ...places, publicKey })).faults.map(({ code }) => code)).toEqual(['checkpoint_invalid', 'head_invalid']);
    } finally {
      rmSync(other, { recursive: true, force: true });
    }
  });

  test('[security G71] what another program writes behind the last line is found', async () => {
    appendFileSync(fileOf(), 'hello\n');
    expect(await faults()).toEqual(['line_changed 11']);
    await writeEvents(1);
    expect((await faults()).filter((fault) => fault.startsWith('line_foreign'))).toEqual(['line_foreign 11']);
  });
});
