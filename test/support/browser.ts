import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The browser of this machine, or null. */
export const BROWSER: string | null =
  [process.env['HEARTH_TEST_CHROMIUM'], 'chromium', 'chromium-browser', 'google-chrome'].find(
    (program) => program !== undefined && spawnSync(program, ['--version'], { timeout: 20_000 }).status === 0,
  ) ?? null;

/** What a page found out: one line for each way that it tried. */
export type Findings = Readonly<Record<string, string>>;

export interface Site extends AsyncDisposable {
  readonly port: number;
  /** Opens the page of the script in a real browser and waits for what it reports. Names in `names` lead to these addresses. */
  visit(where: { readonly url: string; readonly names: Readonly<Record<string, string>> }, waitMs?: number): Promise<Findings>;
}

/** A web site whose only page runs `script`; the script ends with `report({...})`. */
export async function openSite(script: (port: number) => string): Promise<Site> {
  let arrived: (findings: Findings) => void = () => {};
  const server = createHttpServer((request, response) => {
    if (request.method === 'POST' && request.url === '/report') return void readReport(request, response, (findings) => arrived(findings));
    response.setHeader('content-type', 'text/html; charset=utf-8').end(pageOf(script(portOf(server)), portOf(server)));
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  return {
    port: portOf(server),
    async visit({ url, names }, waitMs = 60_000) {
      const directory = await mkdtemp(join(tmpdir(), 'hearth_browser_'));
      const rules = Object.entries({ ...names, 'report.test': '127.0.0.1' }).map(([name, address]) => `MAP ${name} ${address}`);
      const child = spawn(
        BROWSER!,
        [
          ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking'],
          ...[`--user-data-dir=${directory}`, `--host-resolver-rules=${rules.join(',')}`, url],
        ],
        { stdio: 'ignore', detached: true, env: { ...process.env, HOME: directory } },
      );
      const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
      let timer: NodeJS.Timeout | undefined;
      try {
        return await new Promise<Findings>((resolve, reject) => {
          arrived = resolve;
          timer = setTimeout(() => reject(new Error('The page reported nothing.')), waitMs);
          child.once('error', reject);
        });
      } finally {
        clearTimeout(timer);
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
        await ended;
        await rm(directory, { recursive: true, force: true, maxRetries: 5 });
      }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/**
 * The address that a rebound name leads to. The first connections get the attacker's page from `page`, later ones reach the real server at the same
 * port: on the wire this is what a browser sends after a name has changed its address.
 */
export async function openRebinding(port: number, page: (port: number) => string): Promise<AsyncDisposable & { readonly address: string }> {
  let rebound = false;
  const open = new Set<Socket>();
  const server = createTcpServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => {});
    if (!rebound) {
      socket.once('data', (bytes) => {
        const body = String(bytes).startsWith('GET /rebind') ? '' : page(port);
        if (body === '') rebound = true;
        socket.end(`HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`);
      });
      return;
    }
    const onward = connect(port, '127.0.0.1');
    onward.on('error', () => socket.destroy());
    socket.pipe(onward).pipe(socket);
  });
  await new Promise<void>((ready, failed) => server.once('error', failed).listen(port, '127.0.0.2', ready));
  return {
    address: '127.0.0.2',
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** `attempt(name, async () => text)` notes what came of one way; nothing that a way does ends the others. */
export const pageOf = (script: string, reportPort: number): string => `<!doctype html><meta charset="utf-8"><body><script>
const findings = {};
const within = (ms, promise) => Promise.race([promise, new Promise((resolve) => setTimeout(() => resolve('nothing'), ms))]);
const attempt = async (name, run) => { try { findings[name] = String(await within(4000, run())); } catch (error) { findings[name] = 'refused: ' + error.name; } };
const report = () => fetch('http://report.test:${reportPort}/report', { method: 'POST', mode: 'no-cors', body: JSON.stringify(findings) });
(async () => { try { ${script} } catch (error) { findings.script = String(error); } await report(); })();
</script></body>`;

function readReport(request: IncomingMessage, response: ServerResponse, tell: (findings: Findings) => void): void {
  let text = '';
  request.on('data', (piece) => {
    text += piece;
  });
  request.on('end', () => {
    response.end();
    tell(JSON.parse(text) as Findings);
  });
}
