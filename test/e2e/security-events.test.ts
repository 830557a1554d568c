import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { socketFetch } from '../../src/app/index.ts';
import { recordProductEvents } from '../../src/app/security-events.ts';
import { auditLine, type ProductEvent } from '../../src/contract/index.ts';
import { SECURITY_EVENTS, type SecurityEvent, type SecurityEventName } from '../../src/core/index.ts';
import { type AuditLine, logPlaces, readLog, verifyLog } from '../../src/security/index.ts';
import { createEnclosure } from '../../src/supervisor/index.ts';
import { processTable } from '../../src/supervisor/process-identity.ts';
import { startFakeHub } from '../support/fake-hub.ts';
import { startWritableHub } from '../support/fake-hub-writes.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { startHttp } from '../support/http-fixture.ts';
import { PUSH_TARGET, PUSH_TOKEN } from '../support/push-store.ts';
import { createSeeingEngine } from '../support/seeing-engine.ts';
import { mlxModel, writeFiles } from '../support/temp-store.ts';
import { installTinyModel, TINY_COMMIT, TINY_MODEL, writeTinyModel } from '../support/tiny-model.ts';

/** What does not exist yet has no trigger yet. */
const NOT_BUILT: readonly SecurityEventName[] = ['tool.call', 'tool.deny', 'tool.approve'];
/** In detection.test.ts, and the last two in dependency-check.test.ts and signing.test.ts. */
const BESIDE: readonly SecurityEventName[] = ['alert.raise', 'alert.ack', 'sink.dead', 'secret.leak', 'dep.vuln.found', 'model.sign'];
/** In the other tests of this file, by servers that are in such a need: no namespaces, an engine that says too much, a link to a private network. */
const BELOW: readonly SecurityEventName[] = ['sandbox.weak', 'engine.killed', 'egress.blocked'];

const HEX = expect.stringMatching(/^[0-9a-f]{64}$/) as unknown as string;
const json = { 'content-type': 'application/json' };

async function linesOf(home: TestHome): Promise<AuditLine[]> {
  const lines: AuditLine[] = [];
  for await (const line of readLog({ directory: logPlaces(home.home).directory })) lines.push(line);
  return lines;
}

/** Lines of that event after the given number; waits for the first, and a moment for one too many. */
async function newLines(home: TestHome, event: SecurityEventName, afterSeq: number): Promise<AuditLine[]> {
  const found = async () => (await linesOf(home)).filter((line) => line.seq > afterSeq && line.event === event);
  for (let tries = 0; tries < 500 && (await found()).length === 0; tries += 1) await pause(20);
  await pause(60);
  return await found();
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function startDaemon(home: TestHome, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
  const server = home.start(['serve', '--json', '--port', '0', ...args], { env });
  const { port } = (JSON.parse(await server.waitFor('stdout', /\n\}\n/)) as { data: { port: number } }).data;
  const fetchSocket = socketFetch(join(home.home, 'run/hearthd.sock'));
  const url = `http://127.0.0.1:${port}`;
  return {
    ...server,
    port,
    /** Over TCP. */
    ask: (path: string, init: RequestInit = {}) => fetch(`${url}${path}`, init),
    /** Over the socket. */
    text: async (path: string) => await (await fetchSocket(new Request(`http://localhost${path}`))).text(),
    async own<T = unknown>(method: string, path: string, body?: object): Promise<T> {
      const response = await fetchSocket(
        new Request(`http://localhost${path}`, { method, headers: json, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }),
      );
      return (await response.json()) as T;
    },
  };
}

/** A process that an earlier daemon seems to have left, and the journal that says so. */
async function plantOrphan(home: TestHome): Promise<number> {
  const launchId = 'ab'.repeat(16);
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', '--', `--hearth-launch=${launchId}`], { stdio: 'ignore', detached: true });
  await new Promise((resolve) => child.once('spawn', resolve));
  const startTime = processTable.identify(child.pid!)!.startTime;
  mkdirSync(join(home.home, 'run'), { recursive: true, mode: 0o700 });
  const children = [{ pid: child.pid, startTime, bootId: processTable.bootId(), launchId }];
  writeFileSync(join(home.home, 'run/children.json'), JSON.stringify({ version: 1, children }), { mode: 0o600 });
  return child.pid!;
}

const config = (bodyBytes: number) => `limits:\n  authFailures: 1\n  bodyBytes: ${bodyBytes}\nsecurity:\n  sandbox: off\n`;

describe('the security log of a home', () => {
  test('[security G72] each trigger writes its event once, in one chain of the daemon and of commands beside it', { timeout: 240_000 }, async () => {
    await using home = await createTestHome();
    await installTinyModel(home.hfHome);
    await using hub = await startWritableHub(join(home.directory, 'hub'));
    await hub.repositories.create(PUSH_TARGET, true);
    await writeFiles(join(home.directory, 'ws'), mlxModel());
    await writeFiles(join(home.directory, 'bad'), { ...mlxModel(), '.env': 'SECRET=1' });
    mkdirSync(home.home, { recursive: true, mode: 0o700 });
    writeFileSync(join(home.home, 'config.yaml'), config(1_000_000), { mode: 0o600 });
    await plantOrphan(home);
    const daemon = await startDaemon(home);
    const seen = new Set<SecurityEventName>();
    const expectOnce = async (event: SecurityEventName, afterSeq: number, like: object = {}): Promise<AuditLine> => {
      const lines = await newLines(home, event, afterSeq);
      expect(lines.map(({ event: name, reason, details }) => ({ name, reason, details }))).toHaveLength(1);
      expect(lines[0]).toMatchObject(like);
      seen.add(event);
      return lines[0]!;
    };
    const lastSeq = async () => (await linesOf(home)).at(-1)?.seq ?? 0;
    const once = async (event: SecurityEventName, trigger: () => Promise<unknown>, like: object = {}): Promise<AuditLine> => {
      const before = await lastSeq();
      await trigger();
      return await expectOnce(event, before, like);
    };
    const chat = (body: unknown, headers: Record<string, string> = {}) =>
      daemon.ask('/v1/chat/completions', { method: 'POST', headers: { ...json, ...headers }, body: JSON.stringify(body) });
    const hi = { model: TINY_MODEL, messages: [{ role: 'user', content: 'hi' }], max_tokens: 2 };

    await expectOnce('listener.open', 0, { severity: 'info', details: { exposed: false } });
    await expectOnce('engine.orphan', 0, { severity: 'medium' });
    const before = await lastSeq();
    await once('model.load', async () => expect((await chat(hi)).status).toBe(200), {
      model: { id: TINY_MODEL, rootDigest: HEX, revision: TINY_COMMIT },
      outcome: 'ok',
    });
    await expectOnce('model.verify.ok', before, { model: { rootDigest: HEX }, details: { firstUse: true, durationMs: expect.any(Number) } });
    await expectOnce('sandbox.off', before, { severity: 'high' });
    await once('engine.crashed', async () => {
      const { models } = await daemon.own<{ models: { pid: number }[] }>('GET', '/admin/v1/models');
      process.kill(models[0]!.pid, 'SIGKILL');
    });
    await chat(hi);
    await once('model.unload', () => daemon.own('POST', '/admin/v1/models/unload', { model: TINY_MODEL }), {
      reason: 'admin',
      model: { rootDigest: HEX, revision: TINY_COMMIT },
    });

    let key = '';
    let id = '';
    await once(
      'apikey.add',
      async () => {
        const made = await daemon.own<{ key: string; record: { id: string } }>('POST', '/admin/v1/apikeys', { name: 'test' });
        ({ key } = made);
        ({ id } = made.record);
      },
      { actor: { key: 'owner' } },
    );
    const bearer = (value: string) => ({ headers: { authorization: `Bearer ${value}` } });
    await once('authz.deny', async () => expect((await daemon.ask('/admin/v1/status', bearer(key))).status).toBe(403), {
      actor: { key: id, ip: '127.0.0.1' },
      details: { scope: 'observe' },
    });
    await once('auth.fail', async () => expect((await daemon.ask('/v1/models', bearer(`hth_${'a'.repeat(12)}_${'b'.repeat(43)}`))).status).toBe(401), {
      reason: 'invalid_api_key',
      actor: { ip: '127.0.0.1' },
    });
    // The address waits a second after its last wrong key; its first right one after that is told.
    await pause(1_100);
    await once('auth.recovered', async () => {
      expect((await daemon.ask('/v1/models', bearer(key))).status).toBe(200);
      expect((await daemon.ask('/v1/models', bearer(key))).status).toBe(200);
    });
    await once('apikey.revoke', () => daemon.own('DELETE', `/admin/v1/apikeys/${id}`), { details: { key: id } });

    await once('input.rejected', async () => expect((await chat({ ...hi, temperature: 9 })).status).toBe(400), { reason: 'invalid_value' });
    await once('input.rejected', () => rawRequest(daemon.port, 'GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n'), { reason: 'host_not_allowed' });
    await once('input.rejected', () => rawRequest(daemon.port, 'NONSENSE\r\n\r\n'), { reason: 'invalid_value' });
    await once('limit.hit', async () => expect((await chat({ ...hi, stop: 'x'.repeat(1_000_001) })).status).toBe(413), { reason: 'request_too_large' });
    await once('config.change', () => replace(home, config(900_000)), { reason: 'file', details: { changed: ['limits.bodyBytes'] } });
    await once('config.change', () => replace(home, 'limits:\n  bodyBytes: -1\n'), { outcome: 'failed', reason: 'config_invalid' });

    await replace(home, config(900_000));
    const env = { HF_ENDPOINT: hub.endpoint, HF_TOKEN: PUSH_TOKEN };
    const push = await lastSeq();
    const pushed = await home.run(['push', 'ws', PUSH_TARGET, '--private', '--json'], { env });
    expect(pushed.stdout).toContain('"success"');
    await expectOnce('push.start', push, { model: { id: PUSH_TARGET } });
    await expectOnce('push.ok', push, { model: { revision: expect.stringMatching(/^[0-9a-f]{40}$/) } });
    await once('push.blocked', async () => expect((await home.run(['push', 'bad', PUSH_TARGET, '--private'], { env })).code).toBe(1), {
      severity: 'high',
      reason: 'push_refused',
    });
    await once('review.sign', async () => expect((await home.run(['audit', 'review', '--sign', 'Ada'])).stdout).toContain('Signed by Ada'), {
      details: { name: 'Ada', chainOk: true },
    });
    const metrics = await daemon.text('/metrics');
    for (const row of [
      'security_events_total{type="auth.fail",severity="low"} 1',
      'auth_failures_total 1',
      'audit_chain_ok 1',
      'model_verify_total{result="ok"} 1',
      'model_verify_seconds_count 1',
    ])
      expect(metrics).toContain(`hearth_${row}\n`);
    expect((await home.run(['audit', 'tail', '-n', '3'])).stdout.split('\n').filter(Boolean)).toHaveLength(3);
    const exported = (await home.run(['audit', 'export'])).stdout.trimEnd().split('\n');
    expect(exported.map((text) => (JSON.parse(text) as AuditLine).seq)).toEqual(exported.map((_, i) => i + 1));
    expect((await daemon.ask('/admin/v1/audit/review')).status).toBe(401);
    await once('audit.checkpoint', async () => {
      daemon.child.kill('SIGTERM');
      await daemon.ended;
    });

    // Without a daemon the commands write for themselves.
    const repositories = join(home.directory, 'repositories');
    for (const name of ['m', 'coded']) await writeTinyModel(join(repositories, 'org', name, 'main'));
    const coded = join(repositories, 'org/coded/main/config.json');
    writeFileSync(coded, JSON.stringify({ ...JSON.parse(readFileSync(coded, 'utf8')), model_file: 'evil.py' }));
    await using models = await startFakeHub(repositories);
    const pulls = { HF_ENDPOINT: models.endpoint, HEARTH_HUB_CDN_HOSTS: models.cdnHost };
    await once('model.pull', async () => expect(await home.run(['pull', 'org/m'], { env: pulls })).toMatchObject({ code: 0 }), {
      model: { id: 'org/m', revision: models.commit('org/m') },
      reason: 'success',
    });
    await once('model.refused', async () => expect(await home.run(['pull', 'org/coded'], { env: pulls })).toMatchObject({ code: 1 }), {
      severity: 'high',
      reason: 'config_code_pointer',
      model: { id: 'org/coded' },
    });

    // With no daemon that sees the file change, the command itself tells it.
    await once('config.change', async () => expect(await home.run(['config', 'set', 'logs.level', 'error'])).toMatchObject({ code: 0 }), {
      details: { changed: ['logs.level'] },
    });

    let signer = '';
    const made = (text: string) => (JSON.parse(text) as { data: { key: { id: string } } }).data.key.id;
    await once('key.add', async () => {
      signer = made((await home.run(['keys', 'new', '--json'])).stdout);
    });
    await once('key.rotate', async () => expect(await home.run(['keys', 'rotate', signer])).toMatchObject({ code: 0 }));
    await once('key.revoke', async () => expect(await home.run(['keys', 'revoke', signer, '--reason', 'lost'])).toMatchObject({ code: 0 }), {
      details: { key: signer },
    });
    writeFileSync(join(home.hfHome, 'hub', `models--${TINY_MODEL.replace('/', '--')}`, 'snapshots', TINY_COMMIT, 'more.json'), '{}');
    await once('model.verify.failed', async () => expect(await home.run(['run', TINY_MODEL, 'hi'])).toMatchObject({ code: 1 }), {
      severity: 'high',
      reason: 'file_extra',
      model: { id: TINY_MODEL },
      details: { file: 'more.json' },
    });
    expect((await home.run(['trust', 'mode', 'off'])).code).toBe(0);
    await once('verify.off', async () => {
      const careless = await startDaemon(home);
      careless.child.kill('SIGTERM');
      await careless.ended;
    });
    const files = readdirSync(logPlaces(home.home).directory).filter((name) => name.endsWith('.jsonl'));
    await once(
      'audit.gap',
      async () => {
        appendFileSync(join(logPlaces(home.home).directory, files.at(-1)!), '{"v":1,"seq":');
        expect(await home.run(['trust', 'mode', 'enforce'])).toMatchObject({ code: 0 });
      },
      { severity: 'critical', reason: 'torn' },
    );

    const lines = await linesOf(home);
    for (const line of lines) auditLine.parse(line);
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, i) => i + 1));
    expect(new Set(lines.map(({ pid }) => pid)).size).toBeGreaterThan(2);
    expect(await verifyLog(logPlaces(home.home))).toMatchObject({ ok: true, faults: [] });
    const shown = [...seen, ...BELOW, ...BESIDE, ...NOT_BUILT].sort();
    expect(shown).toEqual(Object.keys(SECURITY_EVENTS).sort());
  });

  test('a changed line is found from the command line, and what is risky is refused where the log cannot be written', async () => {
    await using home = await createTestHome();
    expect((await home.run(['keys', 'api', 'new', '--name', 'first'])).code).toBe(0);
    const whole = await home.run(['audit', 'verify']);
    expect(whole).toMatchObject({ code: 0, stdout: expect.stringContaining('The security log is whole.') });
    const other = await home.run(['audit', 'verify', '--key', 'ab'.repeat(32), '--json']);
    expect(other.code).toBe(1);
    expect(JSON.parse(other.stdout)).toMatchObject({ data: { ok: false, faults: [{ code: 'file_replaced' }] } });
    const path = join(home.home, 'audit/security-1.jsonl');
    writeFileSync(path, readFileSync(path, 'utf8').replace('"first"', '"worst"'));
    expect(await home.run(['audit', 'verify'])).toMatchObject({ code: 1, stdout: expect.stringContaining('line_changed: Line 1 was changed') });
    expect((await home.run(['audit', 'review'])).stdout).toContain('NOT AS IT WAS WRITTEN');

    rmSync(join(home.home, 'audit'), { recursive: true });
    writeFileSync(join(home.home, 'audit'), 'in the way');
    const refused = await home.run(['pull', 'org/m', '--json']);
    expect(JSON.parse(refused.stdout)).toMatchObject({ status: 'error', error: { code: 'file_system_error' } });
  });

  test('[security G72] sandbox.weak and engine.killed tell once of a machine without namespaces, and of an engine that says too much', async () => {
    const events: SecurityEvent[] = [];
    const sink = { record: (event: SecurityEvent) => void events.push(event), assertWritable() {} };
    const record = recordProductEvents(sink);
    await using server = await startHttp(
      { take: 'output', takeAfterTokens: 1, processLimits: { outputBytes: 1_000_000 }, tokenMs: 20 },
      {
        gateway: { events: { emit: (event) => record(event as ProductEvent) } },
        enclosure: createEnclosure({ events: sink, choice: { works: async () => false } }),
      },
    );
    const body = JSON.stringify({ model: 'org/fake', messages: [{ role: 'user', content: 'word '.repeat(200) }] });
    const response = await fetch(`${server.baseUrl}/v1/chat/completions`, { method: 'POST', headers: json, body });
    expect(response.status).toBe(503);
    const told = events.filter(({ event }) => BELOW.includes(event));
    expect(told).toEqual([
      expect.objectContaining({ event: 'sandbox.weak' }),
      expect.objectContaining({ event: 'engine.killed', reason: 'output', model: { id: 'org/fake' } }),
    ]);
  });

  test('[security G72] egress.blocked tells once of a link that leads into a private network', async () => {
    const events: SecurityEvent[] = [];
    await using server = await startHttp(
      {},
      {
        engines: [createSeeingEngine()],
        api: { media: { remoteUrls: 'public' }, securityEvents: { record: (event) => void events.push(event), assertWritable() {} } },
      },
    );
    const content = [{ type: 'image_url', image_url: { url: 'http://169.254.169.254/latest/meta-data' } }];
    const response = await fetch(`${server.baseUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: json,
      body: JSON.stringify({ model: 'org/fake', messages: [{ role: 'user', content }] }),
    });
    expect(response.status).toBe(400);
    expect(events).toEqual([expect.objectContaining({ event: 'egress.blocked', details: expect.objectContaining({ host: '169.254.169.254' }) })]);
  });
});

/** As editors do it: a new file in the place of the old one. */
async function replace(home: TestHome, text: string): Promise<void> {
  await writeFile(join(home.home, 'config.yaml.new'), text, { mode: 0o600 });
  await rename(join(home.home, 'config.yaml.new'), join(home.home, 'config.yaml'));
}

function rawRequest(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('data', (piece) => {
      answer += String(piece);
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}
