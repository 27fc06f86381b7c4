import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { formatAzureLocation, type AzureLocation, type AzureStoreOptions } from './azure/azure-options.ts'
import { formatGcsLocation, type GcsLocation, type GcsStoreOptions } from './gcs/gcs-options.ts'
import { isObjectKey } from './object-key.ts'
import type { ObjectStore } from './object-store.ts'
import { createPosixStore, openPosixStore, type PosixStoreOptions } from './posix/posix-store.ts'
import { formatS3Location, type S3Location, type S3StoreOptions } from './s3/s3-options.ts'
import {
  defaultSftpPort,
  formatSftpLocation,
  type SftpLocation,
  type SftpStoreOptions,
} from './sftp/sftp-options.ts'

/** Where a repository is. */
export type RepositoryLocation =
  | {
      readonly kind: 'posix'
      /** Absolute, without a slash at the end. */
      readonly path: string
    }
  | ({ readonly kind: 's3' } & S3Location)
  | ({ readonly kind: 'gcs' } & GcsLocation)
  | ({ readonly kind: 'sftp' } & SftpLocation)
  | ({ readonly kind: 'azure' } & AzureLocation)

export interface StoreOptions extends PosixStoreOptions {
  /** For a store in S3, which needs them. */
  readonly s3?: S3StoreOptions | undefined
  /** For a store in Google Cloud Storage, which needs them. */
  readonly gcs?: GcsStoreOptions | undefined
  /** For a store on an SFTP server, which needs them. */
  readonly sftp?: SftpStoreOptions | undefined
  /** For a store in Azure, which needs them. */
  readonly azure?: AzureStoreOptions | undefined
}

const hint =
  'Write it as "posix:/absolute/path", "s3:bucket/prefix", "gcs:bucket/prefix", "azure:container/prefix" or "sftp:user@host/absolute/path".'

/** Reads `KIND:LOCATION`. Throws `config-invalid`; messages do not repeat what may hold a secret. */
export function parseRepositoryLocation(text: string): RepositoryLocation {
  const [kind, rest] = splitOnce(text)
  if (rest === undefined) throw invalid('expected KIND:LOCATION, found no kind')
  switch (kind) {
    case 'posix':
      return { kind, path: parsePath(rest) }
    case 's3':
    case 'gcs':
      return { kind, ...parseBucket(kind, rest) }
    case 'sftp':
      return { kind, ...parseServer(rest) }
    case 'azure':
      return { kind, ...parseContainer(rest) }
    default:
      throw invalid(`expected the kind "posix", "s3", "gcs", "azure" or "sftp", found "${kind}"`)
  }
}

/** The location as it is written, in its plain form: what `ObjectStore` calls its location. */
export function formatRepositoryLocation(location: RepositoryLocation): string {
  switch (location.kind) {
    case 'posix':
      return `posix:${location.path}`
    case 's3':
      return formatS3Location(location)
    case 'gcs':
      return formatGcsLocation(location)
    case 'sftp':
      return formatSftpLocation(location)
    case 'azure':
      return formatAzureLocation(location)
  }
}

/** The directory of this machine that a store's location names; undefined when it is somewhere else. */
export function localFolderOf(location: string): string | undefined {
  const [kind, path] = splitOnce(location)
  return kind === 'posix' && path !== undefined ? parsePath(path) : undefined
}

/** A store far away tells by `report` that a call takes long, and why. */
type StoreContext = Pick<RunContext, 'signal' | 'clock'> & Partial<Pick<RunContext, 'report'>>

/** Opens the store at this place, which must exist. The caller closes it. */
export async function openStore(
  location: RepositoryLocation,
  options: StoreOptions,
  context: StoreContext,
): Promise<ObjectStore> {
  switch (location.kind) {
    case 'posix':
      return openPosixStore(location.path, options, context)
    case 's3': {
      const { openS3Store } = await import('./s3/s3-store.ts')
      return openS3Store(location, optionsForS3(options), context)
    }
    case 'gcs': {
      const { openGcsStore } = await import('./gcs/gcs-store.ts')
      return openGcsStore(location, optionsForGcs(options), context)
    }
    case 'sftp': {
      const { openSftpStore } = await import('./sftp/sftp-store.ts')
      return openSftpStore(location, optionsForSftp(options), context)
    }
    case 'azure': {
      const { openAzureStore } = await import('./azure/azure-store.ts')
      return openAzureStore(location, optionsForAzure(options), context)
    }
  }
}

/** Opens the store as it was at a moment, to be read. Throws `usage` for a store that keeps no versions. The caller closes it. */
export async function openStoreAsOf(
  location: RepositoryLocation,
  { asOfMs, ...options }: StoreOptions & { readonly asOfMs: number },
  context: StoreContext,
): Promise<ObjectStore> {
  switch (location.kind) {
    case 's3': {
      const { openS3PastStore } = await import('./s3/s3-past-store.ts')
      return openS3PastStore(location, { ...optionsForS3(options), asOfMs }, context)
    }
    case 'posix':
    case 'gcs':
    case 'sftp':
    case 'azure':
      throw new OperationError(
        'usage',
        `opening "${formatRepositoryLocation(location)}" as it was: expected a store of which older versions can be read, found "${location.kind}"`,
        { hint: 'Name a repo in a bucket with versions with --repo, or leave out --repo-as-of.' },
      )
  }
}

/** Makes the place a store unless it is one already, and opens it. The caller closes it. */
export async function createStore(
  location: RepositoryLocation,
  options: StoreOptions,
  context: StoreContext,
): Promise<ObjectStore> {
  switch (location.kind) {
    case 'posix':
      return createPosixStore(location.path, options, context)
    case 's3': {
      const { createS3Store } = await import('./s3/s3-store.ts')
      return createS3Store(location, optionsForS3(options), context)
    }
    case 'gcs': {
      const { createGcsStore } = await import('./gcs/gcs-store.ts')
      return createGcsStore(location, optionsForGcs(options), context)
    }
    case 'sftp': {
      const { createSftpStore } = await import('./sftp/sftp-store.ts')
      return createSftpStore(location, optionsForSftp(options), context)
    }
    case 'azure': {
      const { createAzureStore } = await import('./azure/azure-store.ts')
      return createAzureStore(location, optionsForAzure(options), context)
    }
  }
}

function optionsForS3({ s3 }: StoreOptions): S3StoreOptions {
  assert.ok(s3 !== undefined, 'a store in S3 is opened with its options')
  return s3
}

function optionsForGcs({ gcs }: StoreOptions): GcsStoreOptions {
  assert.ok(gcs !== undefined, 'a store in Google Cloud Storage is opened with its options')
  return gcs
}

function optionsForSftp({ sftp }: StoreOptions): SftpStoreOptions {
  assert.ok(sftp !== undefined, 'a store on an SFTP server is opened with its options')
  return sftp
}

function optionsForAzure({ azure }: StoreOptions): AzureStoreOptions {
  assert.ok(azure !== undefined, 'a store in Azure is opened with its options')
  return azure
}

function splitOnce(text: string): readonly [string, string | undefined] {
  const colon = text.indexOf(':')
  return colon < 0 ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)]
}

function parsePath(path: string): string {
  if (!path.startsWith('/')) throw invalid(`expected an absolute path, found "${path}"`)
  if (path.includes('\0')) throw invalid('expected a path, found a NUL character in it')
  const resolved = resolve(path)
  if (resolved === '/') throw invalid('expected a directory of its own, found the root directory')
  return resolved
}

/** Buckets of AWS have lower-case names of 3 to 63 characters; older ones and other stores allow more. */
const bucketPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/
/** With the longest key, what every store takes: 1024 bytes. */
const longestPrefix = 500

function parseBucket(kind: 's3' | 'gcs', text: string): S3Location & GcsLocation {
  const [bucket = '', ...folders] = text.split('/')
  if (!bucketPattern.test(bucket)) {
    throw invalid(`expected the name of a bucket after "${kind}:", found none`)
  }
  return { bucket, keyPrefix: parsePrefix(folders, 'bucket') }
}

/** As Azure has them: 3 to 63 lower-case letters, digits and single hyphens. */
const containerPattern = /^(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*$/

function parseContainer(text: string): AzureLocation {
  const [container = '', ...folders] = text.split('/')
  if (!containerPattern.test(container)) {
    throw invalid('expected the name of a container after "azure:", found none')
  }
  return { container, keyPrefix: parsePrefix(folders, 'container') }
}

function parsePrefix(folders: readonly string[], after: string): string {
  const prefix = folders.join('/').replace(/\/+$/, '')
  if (prefix === '') return ''
  if (prefix.length > longestPrefix || !isObjectKey(prefix)) {
    throw invalid(
      `expected after the ${after} names out of A-Z a-z 0-9 . _ - with "/" between them, up to ${longestPrefix} characters, found something else`,
    )
  }
  return `${prefix}/`
}

const serverPattern =
  /^(?<user>[A-Za-z0-9_][\w.+-]{0,63})@(?:(?<name>[A-Za-z0-9][A-Za-z0-9._-]{0,252})|\[(?<address>[0-9A-Fa-f:.]{2,45})\])(?::(?<port>\d{1,5}))?(?<path>\/.*)$/s

/** No password: whatever stands between the user and the "@" is refused. */
function parseServer(text: string): SftpLocation {
  const { user = '', name, address, port, path = '' } = serverPattern.exec(text)?.groups ?? {}
  const host = name ?? address
  const number = port === undefined ? defaultSftpPort : Number(port)
  if (host === undefined || number < 1 || number > 65_535) {
    throw invalid('expected sftp:user@host/path or sftp:user@host:port/path, found something else')
  }
  return { user, host, port: number, path: parsePath(path) }
}

function invalid(what: string): OperationError {
  return new OperationError('config-invalid', `reading the location of a repository: ${what}`, { hint })
}
