/** Where a repository lies in Google Cloud Storage. */
export interface GcsLocation {
  readonly bucket: string
  /** Before every key, with a slash at its end; empty for the whole bucket. */
  readonly keyPrefix: string
}

/** `gcs:bucket/prefix`. */
export function formatGcsLocation({ bucket, keyPrefix }: GcsLocation): string {
  return `gcs:${bucket}${keyPrefix === '' ? '' : `/${keyPrefix.slice(0, -1)}`}`
}

/** By what the store knows who asks. */
export type GcsCredentials =
  /** A JSON file of Google's: of a service account, a user or an external account. Read again for every new token. */
  | { readonly kind: 'file'; readonly read: () => Promise<string> }
  /** The service account of this machine, out of its metadata server. */
  | { readonly kind: 'instance'; readonly server?: string }
  /** Nothing: for emulators. */
  | { readonly kind: 'none' }

export interface GcsStoreOptions {
  /** `https://host[:port]`. Undefined: Google's own. */
  readonly endpoint?: string | undefined
  readonly credentials: GcsCredentials
  /** Undefined: the one of the bucket. */
  readonly storageClass?: string | undefined
  /** The key of Cloud KMS that new objects are encrypted with, besides our own sealing. Undefined: what the bucket says. */
  readonly kmsKey?: string | undefined
  /** PEM certificates that are trusted besides those of the system. */
  readonly caCertificates?: string | undefined
  /** How many requests are under way at once at most. */
  readonly maxRequests: number
  /** A connection on which nothing moves for so long is given up. */
  readonly idleTimeoutMs: number
  /** How long one call tries before it fails. */
  readonly callTimeoutMs: number
}
