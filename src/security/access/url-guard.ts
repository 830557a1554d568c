import { BlockList, isIP } from 'node:net';
import { HearthError } from '../../core/index.ts';

/** Where links of requests never lead (docs/spec/security.md §7): this machine, private networks, metadata services, and addresses that stand for others. */
const BLOCKED_V4 =
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4';
const BLOCKED_V6 =
  '::/128 ::1/128 ::/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8';
const BLOCKED_NAMES = /(?:^|\.)(?:localhost|local|internal|home\.arpa)$/;

const blocked = { ipv4: listOf(BLOCKED_V4, 'ipv4'), ipv6: listOf(BLOCKED_V6, 'ipv6') };

function listOf(text: string, family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList();
  for (const range of text.split(' ')) {
    const [address, bits] = range.split('/') as [string, string];
    list.addSubnet(address, Number(bits), family);
  }
  return list;
}

/** Whether nobody may be sent there. An IPv4 address inside an IPv6 one counts as itself; what is no address is blocked. */
export function isBlockedAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return blocked.ipv4.check(address, 'ipv4');
  if (family !== 6) return true;
  const inside = mappedAddress(address);
  return inside === null ? blocked.ipv6.check(address, 'ipv6') : blocked.ipv4.check(inside, 'ipv4');
}

/** The IPv4 address of ::ffff:a.b.c.d, however it is written. */
function mappedAddress(address: string): string | null {
  const host = new URL(`http://[${address}]/`).hostname;
  const [, high, low] = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(host) ?? [];
  if (high === undefined || low === undefined) return null;
  const bits = Number.parseInt(high, 16) * 0x1_0000 + Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.');
}

export interface GuardedUrl {
  readonly url: URL;
  /** An address without brackets, or a name without the dot at its end. */
  readonly host: string;
  /** The host is an address: nothing has to be resolved. */
  readonly literal: boolean;
}

/** One parse, and all that can be said before a name is resolved. Throws invalid_value; nothing is connected or looked up. */
export function guardUrl(text: string, base?: URL): GuardedUrl {
  // A parser takes these for something else than the next one does.
  if (/[\\\p{Cc}\p{Cf}\s]/u.test(text)) throw refused('it holds characters that do not belong into a link');
  if (!URL.canParse(text, base?.href)) throw refused('it is no link');
  const url = new URL(text, base?.href);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refused('only http: and https: are followed');
  if (url.username !== '' || url.password !== '') throw refused('it names a user');
  if (!['', '80', '443'].includes(url.port)) throw refused('only the ports 80 and 443 are followed');
  const host = url.hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();
  const literal = isIP(host) !== 0;
  if (host === '' || (literal ? isBlockedAddress(host) : BLOCKED_NAMES.test(host))) throw egressBlocked(host);
  return { url, host, literal };
}

/** Set as the cause where a link leads to a place that no link may lead to; `host` is what it named. */
export class BlockedHost extends Error {
  readonly host: string;
  constructor(host: string) {
    super('a link to a blocked address');
    this.host = host.slice(0, 255);
  }
}

export const egressBlocked = (host: string): HearthError =>
  new HearthError('invalid_value', 'The link is not followed: it leads to this machine or into a private network.', { cause: new BlockedHost(host) });

export const refused = (reason: string): HearthError => new HearthError('invalid_value', `The link is not followed: ${reason}.`);
