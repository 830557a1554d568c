import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

/** Small X.509 v3 certificates with exactly the faults that a test wants (RFC 5280). */
export interface CertificateWish {
  readonly subject: string;
  readonly key: KeyPair;
  /** Absent: signed by itself. */
  readonly issuer?: Issued;
  /** Absent: no basic constraints at all. */
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly keyUsage?: readonly ('digitalSignature' | 'keyCertSign')[];
  readonly codeSigning?: boolean;
  readonly mail?: string;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** A critical extension that nobody knows. */
  readonly strange?: boolean;
}

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export interface Issued {
  readonly der: Buffer;
  readonly pem: string;
  readonly subject: string;
  readonly key: KeyPair;
}

export const ecPair = (namedCurve = 'P-256'): KeyPair => generateKeyPairSync('ec', { namedCurve });

export function makeCertificate(wish: CertificateWish): Issued {
  const issuer = wish.issuer ?? { subject: wish.subject, key: wish.key };
  const algorithm = seq(oid('2a8648ce3d040302'));
  const extensions = [
    ...(wish.ca === undefined
      ? []
      : [
          extension(
            '551d13',
            true,
            seq(...(wish.ca ? [Buffer.from([1, 1, 0xff])] : []), ...(wish.pathLength === undefined ? [] : [integer(Buffer.from([wish.pathLength]))])),
          ),
        ]),
    ...(wish.keyUsage === undefined ? [] : [extension('551d0f', true, usage(wish.keyUsage))]),
    ...(wish.codeSigning ? [extension('551d25', false, seq(oid('2b06010505070303')))] : []),
    ...(wish.mail === undefined ? [] : [extension('551d11', false, seq(der(0x81, Buffer.from(wish.mail))))]),
    ...(wish.strange ? [extension('2a0304', true, seq())] : []),
  ];
  const body = seq(
    der(0xa0, integer(Buffer.from([2]))),
    serialNumber(wish.subject),
    algorithm,
    name(issuer.subject),
    seq(time(wish.notBefore ?? new Date('2025-01-01')), time(wish.notAfter ?? new Date('2045-01-01'))),
    name(wish.subject),
    wish.key.publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length === 0 ? [] : [der(0xa3, seq(...extensions))]),
  );
  const bytes = seq(body, algorithm, bitString(sign('sha256', body, issuer.key.privateKey)));
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return { der: bytes, pem: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`, subject: wish.subject, key: wish.key };
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const seq = (...parts: readonly Buffer[]): Buffer => der(0x30, Buffer.concat(parts));
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const integer = (bytes: Buffer): Buffer => der(0x02, bytes[0]! >= 128 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
/** Without a zero in front, which an integer of DER may not have. */
const serialNumber = (subject: string): Buffer =>
  integer(Buffer.from([1, ...createHash('sha256').update(`${subject}${Math.random()}`).digest().subarray(0, 7)]));
const bitString = (bytes: Buffer): Buffer => der(0x03, Buffer.concat([Buffer.from([0]), bytes]));
const name = (text: string): Buffer => seq(der(0x31, seq(oid('550403'), der(0x0c, Buffer.from(text)))));
const time = (date: Date): Buffer => der(0x17, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));
const extension = (id: string, critical: boolean, value: Buffer): Buffer => seq(oid(id), ...(critical ? [Buffer.from([1, 1, 0xff])] : []), der(0x04, value));

function usage(names: readonly string[]): Buffer {
  const bits = (names.includes('digitalSignature') ? 0x80 : 0) | (names.includes('keyCertSign') ? 0x04 : 0);
  return der(0x03, Buffer.from([bits === 0x80 ? 7 : 2, bits]));
}
