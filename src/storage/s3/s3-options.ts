import type { Retention } from '../object-store.ts'

/** Where a repository lies in an S3 store. */
export interface S3Location {
  readonly bucket: string
  /** Before every key, with a slash at its end; empty for the whole bucket. */
  readonly keyPrefix: string
}

/** `s3:bucket/prefix`. */
export function formatS3Location({ bucket, keyPrefix }: S3Location): string {
  return `s3:${bucket}${keyPrefix === '' ? '' : `/${keyPrefix.slice(0, -1)}`}`
}

export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Of keys that were lent for a while. */
  readonly sessionToken?: string
}

export interface S3StoreOptions {
  /** `https://host[:port]`. Undefined: AWS. */
  readonly endpoint?: string | undefined
  readonly region: string
  /** Whether the bucket is in the path of the URL and not in its host name. Undefined: with an endpoint. */
  readonly isPathStyle?: boolean | undefined
  /** Reads the keys; asked again from time to time when they have a session token. Undefined: the usual places of AWS. */
  readonly readCredentials?: (() => Promise<S3Credentials>) | undefined
  /** Of the files of AWS, where there are no keys here. */
  readonly profile?: string | undefined
  /** What the store encrypts with, besides our own sealing. Undefined: what the bucket says. */
  readonly serverSideEncryption?: 'AES256' | 'aws:kms' | undefined
  readonly kmsKeyId?: string | undefined
  readonly storageClass?: string | undefined
  /** What objects are locked with. Undefined: what the bucket says. */
  readonly retention?: Retention | undefined
  /** PEM certificates that are trusted besides those of the system. */
  readonly caCertificates?: string | undefined
  /** Whether requests carry checksums that not every store understands. Undefined: only for AWS. */
  readonly hasChecksums?: boolean | undefined
  /** How many requests are under way at once at most. */
  readonly maxRequests: number
  /** A connection on which nothing moves for so long is given up. */
  readonly idleTimeoutMs: number
  /** How long one call tries before it fails. */
  readonly callTimeoutMs: number
}
