import { HearthError, isHearthError } from '../core/index.ts';
import { type FetchedMedia, MEDIA_LIMITS } from '../gateway/index.ts';
import { actorOf, BlockedHost, fetchGuarded } from '../security/index.ts';
import type { CallContext } from './bind.ts';
import type { Services } from './services.ts';

interface Link {
  readonly url: string;
  /** Of its part in the request. */
  readonly at: string;
}

/**
 * The bytes behind the links of a request's images, where `media.remoteUrls` is `public`; undefined where nothing may or need be fetched: the
 * decoder then says what is wrong. Nothing is fetched for a model that takes no images. Throws invalid_value naming the part.
 */
export async function fetchLinks(
  { media, securityEvents }: Services,
  context: CallContext,
  body: { readonly model: string },
): Promise<FetchedMedia | undefined> {
  if (media.remoteUrls === 'off') return undefined;
  const links = linksOf(body, '').slice(0, MEDIA_LIMITS.images);
  if (links.length === 0) return undefined;
  const { gateway, signal } = context;
  const { capabilities, model } = await gateway.targetOf(body.model, signal);
  // A remote follows links by itself.
  if (!capabilities.images || model === undefined) return undefined;
  const fetched = links.map(async ({ url, at }) => {
    try {
      return [url, await fetchGuarded(url, { ...media.network, maxBytes: MEDIA_LIMITS.imageBytes, signal })] as const;
    } catch (error) {
      if (!isHearthError(error) || error.code !== 'invalid_value') throw error;
      if (error.cause instanceof BlockedHost) {
        const { caller, requestId } = context;
        securityEvents.record({ event: 'egress.blocked', outcome: 'denied', actor: actorOf(caller), requestId, details: { host: error.cause.host, at } });
      }
      throw new HearthError('invalid_value', error.message, { cause: error, details: { param: at } });
    }
  });
  return new Map(await Promise.all(fetched));
}

/** Parts of all three APIs that show an image by a link. */
function linksOf(value: unknown, at: string): Link[] {
  if (Array.isArray(value)) return value.flatMap((item, index) => linksOf(item, at === '' ? String(index) : `${at}.${index}`));
  if (typeof value !== 'object' || value === null) return [];
  const part = value as Readonly<Record<string, unknown>>;
  const url = linkOf(part);
  if (url !== null) return /^https?:/i.test(url) ? [{ url, at }] : [];
  const inside = ['messages', 'input', 'content', 'output'].filter((key) => key in part);
  return inside.flatMap((key) => linksOf(part[key], at === '' ? key : `${at}.${key}`));
}

function linkOf({ type, image_url: image, source }: Readonly<Record<string, unknown>>): string | null {
  const inner =
    type === 'image_url'
      ? (image as { url?: unknown } | undefined)?.url
      : type === 'input_image'
        ? image
        : type === 'image'
          ? (source as { url?: unknown } | undefined)?.url
          : null;
  return typeof inner === 'string' ? inner : null;
}
