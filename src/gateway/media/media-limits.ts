/** What media of one request may be; defaults of docs/spec/security.md §7. */
export interface MediaLimits {
  readonly images: number;
  readonly imageBytes: number;
  readonly imagePixels: number;
  readonly imageFrames: number;
  /** Of all images together when they are decoded, four bytes a pixel. */
  readonly decodedBytes: number;
  readonly audioBytes: number;
  readonly audioSeconds: number;
  readonly minSampleRate: number;
  readonly maxSampleRate: number;
  /** Of EXIF, comments, pictures of a cover and the like in one file. */
  readonly metadataBytes: number;
  /** Bytes after the end of a file. */
  readonly trailingBytes: number;
}

const MIB = 1024 * 1024;

export const MEDIA_LIMITS: MediaLimits = {
  images: 16,
  imageBytes: 20 * MIB,
  imagePixels: 40_000_000,
  imageFrames: 64,
  decodedBytes: 512 * MIB,
  audioBytes: 100 * MIB,
  audioSeconds: 30 * 60,
  minSampleRate: 8_000,
  maxSampleRate: 192_000,
  metadataBytes: MIB,
  trailingBytes: 64 * 1024,
};
