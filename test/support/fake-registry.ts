import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

export interface RegistryPackage {
  readonly name: string;
  readonly version: string;
  /** RFC 3339. */
  readonly published: string;
  readonly scripts?: Readonly<Record<string, string>>;
}

export interface FakeRegistry extends AsyncDisposable {
  readonly url: string;
  /** Paths that were asked for. */
  readonly asked: readonly string[];
  integrity(name: string): string;
  archive(name: string): string;
}

/** A package registry on loopback with one version of each package. */
export async function startFakeRegistry(packages: readonly RegistryPackage[]): Promise<FakeRegistry> {
  const archives = new Map(packages.map((each) => [each.name, archiveOf(each)]));
  const asked: string[] = [];
  const integrity = (name: string): string => `sha512-${createHash('sha512').update(archives.get(name)!).digest('base64')}`;
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '');
    asked.push(path);
    const archive = /^\/([^/]+)\/-\//.exec(path)?.[1];
    const found = packages.find(({ name }) => name === (archive ?? path.slice(1)));
    if (found === undefined) {
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}');
    } else if (archive !== undefined) {
      response.end(archives.get(archive));
    } else {
      const { name, version, published, scripts } = found;
      const manifest = { name, version, ...(scripts === undefined ? {} : { scripts, hasInstallScript: true }) };
      const document = {
        name,
        'dist-tags': { latest: version },
        versions: { [version]: { ...manifest, dist: { tarball: archiveUrl(name), integrity: integrity(name) } } },
        time: { created: published, modified: published, [version]: published },
      };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document));
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const archiveUrl = (name: string): string => `${url}${name}/-/${name}.tgz`;
  return {
    url,
    asked,
    integrity,
    archive: archiveUrl,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

function archiveOf({ name, version, scripts = {} }: RegistryPackage): Buffer {
  const data = Buffer.from(JSON.stringify({ name, version, scripts }));
  const header = Buffer.alloc(512);
  header.write('package/package.json', 0);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${data.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write('0', 156);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return gzipSync(Buffer.concat([header, data, Buffer.alloc(((512 - (data.length % 512)) % 512) + 1024)]));
}
