// A model hub in a process of its own, for measuring pulls: one repository of a large file, and a listing.
// `node bench/store/bulk-hub.ts FOLDER` serves the files of a folder as org/bulk and prints its address.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

const folder = process.argv[2] ?? '.';
const commit = 'c'.repeat(40);
const files: { path: string; size: number; sha256: string }[] = [];
for (const path of await readdir(folder)) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(join(folder, path), { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer);
  files.push({ path, size: (await stat(join(folder, path))).size, sha256: hash.digest('hex') });
}

const server = createServer((request, response) => {
  const name = /\/resolve\/[^/]+\/(.+)$/.exec(request.url ?? '')?.[1];
  const file = files.find(({ path }) => path === name);
  if (file === undefined) {
    response.setHeader('content-type', 'application/json');
    const siblings = files.map(({ path, size, sha256 }) => ({ rfilename: path, size, blobId: commit, lfs: { sha256, size } }));
    response.end(JSON.stringify({ sha: commit, private: false, gated: false, siblings }));
    return;
  }
  response.writeHead(200, { 'content-length': file.size, etag: `"${file.sha256}"`, 'x-repo-commit': commit });
  createReadStream(join(folder, file.path), { highWaterMark: 1024 * 1024 }).pipe(response);
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
