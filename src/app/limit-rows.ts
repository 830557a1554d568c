import type { LoadedConfig } from '../config/index.ts';
import { REQUEST_LIMITS } from '../contract/index.ts';
import { MEDIA_LIMITS } from '../gateway/index.ts';
import { TEMPLATE_LIMITS, TEMPLATE_MS } from '../security/index.ts';

/** One limit of requests (docs/spec/security.md §7). */
export interface LimitRow {
  readonly limit: string;
  readonly value: number;
  readonly unit: 'bytes' | 'ms' | 'pixels' | 'hertz' | 'characters' | 'count' | 'per minute';
  /** The configuration key that says it; null: it is the same everywhere. */
  readonly key: string | null;
  /** `built in` without a key, else where the value comes from: `default`, `user`, `env`, … */
  readonly origin: string;
  /** File and line, or variable. */
  readonly place: string | null;
  /** What a request over it is answered with, or what happens to it. */
  readonly over: string;
}

/** Every limit with its value and origin, as a daemon that started now would hold it. */
export function limitRows({ config, origins }: LoadedConfig): readonly LimitRow[] {
  const { limits, gateway, access } = config;
  const set = (limit: string, key: string, value: number, unit: LimitRow['unit'], over: string): LimitRow => {
    const { source, place } = origins.get(key) ?? { source: 'default', place: null };
    return { limit, value, unit, key, origin: source, place, over };
  };
  const fixed = (limit: string, value: number, unit: LimitRow['unit'], over = '400'): LimitRow => ({
    limit,
    value,
    unit,
    key: null,
    origin: 'built in',
    place: null,
    over,
  });
  return [
    set('JSON body', 'limits.bodyBytes', limits.bodyBytes, 'bytes', '413'),
    fixed('file of a form', REQUEST_LIMITS.uploadBytes, 'bytes', '413'),
    fixed('headers', REQUEST_LIMITS.headerBytes, 'bytes', '431'),
    fixed('URL', REQUEST_LIMITS.urlBytes, 'bytes', '414'),
    fixed('connections', REQUEST_LIMITS.connections, 'count', 'the longest idle ends'),
    fixed('JSON depth', REQUEST_LIMITS.jsonDepth, 'count'),
    fixed('JSON keys', REQUEST_LIMITS.jsonKeys, 'count'),
    fixed('messages', REQUEST_LIMITS.messages, 'count'),
    fixed('parts of a message', REQUEST_LIMITS.parts, 'count'),
    fixed('tools', REQUEST_LIMITS.tools, 'count'),
    fixed('one tool', REQUEST_LIMITS.toolBytes, 'bytes'),
    fixed('stop strings', REQUEST_LIMITS.stopStrings, 'count'),
    fixed('one stop string', REQUEST_LIMITS.stopCharacters, 'characters'),
    fixed('logit_bias entries', REQUEST_LIMITS.biasEntries, 'count'),
    fixed('images', MEDIA_LIMITS.images, 'count'),
    fixed('one image', MEDIA_LIMITS.imageBytes, 'bytes'),
    fixed('pixels of an image', MEDIA_LIMITS.imagePixels, 'pixels'),
    fixed('frames of an image', MEDIA_LIMITS.imageFrames, 'count'),
    fixed('images, decoded', MEDIA_LIMITS.decodedBytes, 'bytes'),
    fixed('audio', MEDIA_LIMITS.audioBytes, 'bytes'),
    fixed('length of audio', MEDIA_LIMITS.audioSeconds * 1000, 'ms'),
    fixed('lowest sample rate', MEDIA_LIMITS.minSampleRate, 'hertz'),
    fixed('highest sample rate', MEDIA_LIMITS.maxSampleRate, 'hertz'),
    fixed('metadata of a file', MEDIA_LIMITS.metadataBytes, 'bytes'),
    fixed('bytes after the end of a file', MEDIA_LIMITS.trailingBytes, 'bytes'),
    set('queue of one key', 'limits.queuePerKey', limits.queuePerKey, 'count', '429'),
    set('queue', 'limits.queueTotal', limits.queueTotal, 'count', '503'),
    set('waiting for a model', 'gateway.queueWaitMs', gateway.queueWaitMs, 'ms', '503'),
    set('one request', 'gateway.requestMs', gateway.requestMs, 'ms', '504'),
    set('silence of a remote', 'gateway.idleMs', gateway.idleMs, 'ms', 'stream ends'),
    set('slow reader', 'gateway.slowClientTimeoutMs', gateway.slowClientTimeoutMs, 'ms', 'stream ends'),
    set('requests of a caller', 'access.rateLimitRpm', access.rateLimitRpm, 'per minute', '429'),
    set('wrong keys, address', 'limits.authFailures', limits.authFailures, 'per minute', '429'),
    fixed('time of a template', TEMPLATE_MS, 'ms'),
    fixed('output of a template', TEMPLATE_LIMITS.outputCharacters, 'characters'),
    fixed('memory of a template', TEMPLATE_LIMITS.memoryBytes, 'bytes'),
  ];
}
