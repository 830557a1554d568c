import { fork } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createBrotliCompress, createGzip, createZstdCompress, constants as zlib } from 'node:zlib';
import { describe, expect, test } from 'vitest';

const PROGRAM = join(import.meta.dirname, '../support/stream-server.ts');
const CHAT = '/v1/chat/completions';

interface Facts {
  readonly unhandled: number;
  readonly running: number;
  /** The most that it ever had. */
  readonly rssKib: number;
  readonly rssBytes: number;
}

interface Server extends AsyncDisposable {
  readonly port: number;
  facts(): Promise<Facts>;
}

async function startServer(options: object = {}): Promise<Server> {
  const child = fork(PROGRAM, [JSON.stringify(options)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const answer = <T>() => new Promise<T>((resolve) => child.once('message', (message) => resolve(message as T)));
  const { port } = await answer<{ port: number }>();
  return {
    port,
    facts() {
      const told = answer<Facts>();
      child.send('facts');
      return told;
    },
    async [Symbol.asyncDispose]() {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    },
  };
}

const body = (more: object = {}) => JSON.stringify({ model: 'org/fake', messages: [{ role: 'user', content: 'x' }], ...more });

const ask = (server: Server, more: object = {}) =>
  fetch(`http://127.0.0.1:${server.port}${CHAT}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: body(more) });

const requestText = (port: number, text: string, extra = '') =>
  `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n${extra}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.once('error', reject);
  });
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.destroyed) return resolve();
    socket.on('error', () => {});
    socket.once('close', () => resolve());
    // What nobody reads has no end.
    socket.resume();
  });

const TEN_GIGABYTES = 10 * 1024 ** 3;
const BLOCK = Buffer.alloc(8 * 1024 * 1024, ' ');

/** The first bytes of a stream that would go on to ten gigabytes; the server has to give up long before. */
function send(server: Server, encoding: string, make: () => NodeJS.ReadWriteStream): Promise<{ status: number; sent: number }> {
  return new Promise((resolve, reject) => {
    const compressor = make();
    const socket = connect(server.port, '127.0.0.1', async () => {
      socket.write(
        `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nContent-Type: application/json\r\nContent-Encoding: ${encoding}\r\nTransfer-Encoding: chunked\r\n\r\n`,
      );
      compressor.on('data', (piece: Buffer) => {
        socket.write(`${piece.length.toString(16)}\r\n`);
        socket.write(piece);
        socket.write('\r\n');
      });
      for (let sent = 0; sent < TEN_GIGABYTES && text === ''; sent += BLOCK.length) await new Promise<void>((next) => compressor.write(BLOCK, () => next()));
    });
    let text = '';
    socket.on('data', (piece) => {
      text += piece.toString();
      const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);
      if (status) {
        resolve({ status, sent: socket.bytesWritten });
        socket.destroy();
      }
    });
    socket.on('error', reject);
  });
}

describe('bodies that unpack to much more', () => {
  test('[security G29] gzip, br and zstd of ten gigabytes are 413 within 64 MB; stacked and other encodings are 415', async () => {
    await using server = await startServer();
    await ask(server);
    const before = (await server.facts()).rssKib;
    const bombs: [string, () => NodeJS.ReadWriteStream][] = [
      ['gzip', () => createGzip({ level: 1 })],
      ['br', () => createBrotliCompress({ params: { [zlib.BROTLI_PARAM_QUALITY]: 3, [zlib.BROTLI_PARAM_LGWIN]: 24 } })],
      ['zstd', () => createZstdCompress({ params: { [zlib.ZSTD_c_windowLog]: 23 } })],
    ];
    for (const [encoding, make] of bombs) {
      const { status } = await send(server, encoding, make);
      expect([encoding, status]).toEqual([encoding, 413]);
    }
    expect((await server.facts()).rssKib - before).toBeLessThan(64 * 1024);
    for (const encoding of ['gzip, gzip', 'gzip,br', 'compress', 'x-unknown', 'identity, gzip']) {
      const response = await fetch(`http://127.0.0.1:${server.port}${CHAT}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-encoding': encoding },
        body: body(),
      });
      expect([encoding, response.status]).toEqual([encoding, 415]);
    }
    // A window that alone would take more memory than that is no encoding that is taken.
    const wide = await send(server, 'zstd', () => createZstdCompress({ params: { [zlib.ZSTD_c_windowLog]: 27, [zlib.ZSTD_c_enableLongDistanceMatching]: 1 } }));
    expect([400, 413]).toContain(wide.status);
    expect((await server.facts()).rssKib - before).toBeLessThan(64 * 1024);
  });
});

describe('connections that do nothing', () => {
  test('[security G31] slow heads and bodies, 5,000 idle connections and an unread stream: others are served, and all is freed', async () => {
    await using server = await startServer({
      api: { slowClientTimeoutMs: 1500 },
      server: { headersTimeout: 2000, requestTimeout: 3000, connectionsCheckingInterval: 200 },
    });
    const sockets: Socket[] = [];
    for (let made = 0; made < 5000; made += 250) sockets.push(...(await Promise.all(Array.from({ length: 250 }, () => open(server.port)))));
    const slowHead = await open(server.port);
    slowHead.write('POST /v1/chat/comp');
    const slowBody = await open(server.port);
    slowBody.write(requestText(server.port, body()).slice(0, -5));
    const unread = await open(server.port);
    unread.pause();
    unread.write(requestText(server.port, body({ stream: true, max_tokens: 200_000 })));
    await expect.poll(async () => (await server.facts()).running).toBe(1);
    expect((await ask(server)).status).toBe(200);
    expect(await (await ask(server, { stream: true })).text()).toContain('data: [DONE]');
    await Promise.all([closed(slowHead), closed(slowBody), ...sockets.map(closed)]);
    await expect.poll(async () => (await server.facts()).running).toBe(0);
    unread.destroy();
    expect((await ask(server)).status).toBe(200);
    expect((await server.facts()).unhandled).toBe(0);
  }, 60_000);
});

describe('slow and broken readers', () => {
  test('[serving V45] a reader of one byte a second stalls no other stream, takes bounded memory, and is cut', async () => {
    await using server = await startServer({ api: { slowClientTimeoutMs: 3000 } });
    await ask(server, { stream: true });
    const before = (await server.facts()).rssBytes;
    const slow = await open(server.port);
    slow.pause();
    slow.write(requestText(server.port, body({ stream: true, max_tokens: 1_000_000 })));
    const sip = setInterval(() => void slow.read(1), 1000);
    await expect.poll(async () => (await server.facts()).running).toBe(1);
    const others = await Promise.all(Array.from({ length: 20 }, async () => (await ask(server, { stream: true, max_tokens: 2000 })).text()));
    for (const text of others) expect([text.split('\n\n').length > 2000, text.endsWith('data: [DONE]\n\n')]).toEqual([true, true]);
    const { running, rssBytes } = await server.facts();
    expect(running).toBe(1);
    // The whole answer would be 400 MB.
    expect(rssBytes - before).toBeLessThan(150 * 1024 * 1024);
    await expect.poll(async () => (await server.facts()).running).toBe(0);
    clearInterval(sip);
    slow.destroy();
  }, 60_000);

  test('[serving V46] 100,000 requests, many of which their clients cut at any point, crash nothing and leave no unhandled rejection', async () => {
    await using server = await startServer();
    const wanted = 100_000;
    const cuts = [body({ stream: true, max_tokens: 20_000 }), body({ stream: true }), body(), '{"model"', body({ model: 'nobody' })].map((text) =>
      requestText(server.port, text),
    );
    const plain = requestText(server.port, body());
    let sent = 0;
    let answered = 0;
    /** One connection after the other, each with some requests at once, of which the last is cut. */
    async function client(seed: number): Promise<void> {
      let state = seed;
      const random = (below: number) => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
        return (state >>> 13) % below;
      };
      while (sent < wanted) {
        const socket = await open(server.port).catch(() => null);
        if (socket === null) continue;
        const gone = closed(socket);
        const count = 20 + random(60);
        const last = cuts[random(cuts.length)]!;
        sent += count + 1;
        // Some go at once, others after this many answers.
        const patience = random(4) === 0 ? 0 : random(count);
        let heard = 0;
        const enough = new Promise<void>((resolve) => {
          socket.on('data', (piece: Buffer) => {
            heard += piece.toString('latin1').split('HTTP/1.1 ').length - 1;
            if (heard >= patience) resolve();
          });
          if (patience === 0) resolve();
        });
        socket.write(plain.repeat(count) + last.slice(0, 1 + random(last.length)));
        await Promise.race([enough, gone]);
        answered += heard;
        // Half of them without a goodbye.
        if (random(2) === 0) socket.resetAndDestroy();
        else socket.destroy();
        await gone;
      }
    }
    await Promise.all(Array.from({ length: 16 }, (_, index) => client(index + 1)));
    expect(sent).toBeGreaterThanOrEqual(wanted);
    expect(answered).toBeGreaterThan(wanted / 20);
    await expect.poll(async () => (await server.facts()).running, { timeout: 30_000 }).toBe(0);
    expect((await server.facts()).unhandled).toBe(0);
    expect((await ask(server)).status).toBe(200);
  }, 600_000);
});
