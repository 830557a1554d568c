import type { Catalog } from '../catalog/index.ts';
import type { Clock, Logger } from '../core/index.ts';
import type { Gateway, ImageMetadataOptions } from '../gateway/index.ts';
import type { Store } from '../store/index.ts';

/** What the routes work with. */
export interface Services {
  readonly gateway: Gateway;
  readonly store: Store;
  readonly catalog: Catalog | null;
  /** What is read out of pictures, and told to models. */
  readonly images: ImageMetadataOptions;
  /** `backend`: /v1/embeddings goes to this base URL; `truncate`: inputs that are too long are cut. */
  readonly embeddings: { readonly backend: string | null; readonly truncate: boolean };
  /** Of the product. */
  readonly version: string;
  readonly heartbeatMs: number;
  readonly headerHoldMs: number;
  readonly slowClientTimeoutMs: number;
  readonly maxBodyBytes: number;
  /** Addresses that this process listens on, for the status. */
  readonly listeners: () => readonly string[];
  readonly logger: Logger;
  readonly clock: Clock;
  readonly startedAtMs: number;
}
