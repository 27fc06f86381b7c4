import { access } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { camelName } from '../config/camel-keys.ts'
import { connectionFault } from '../config/check-connection.ts'
import type { AzureAccess } from '../config/azure-access-schema.ts'
import type { Configuration } from '../config/configuration-schema.ts'
import type { S3Access } from '../config/s3-access-schema.ts'
import type { SftpAccess } from '../config/sftp-access-schema.ts'
import type { GcsAccess } from '../config/gcs-access-schema.ts'
import { loadConfiguration } from '../config/load-configuration.ts'
import {
  readAzureSettings,
  readGcsSettings,
  readS3Settings,
  readSftpSettings,
  type ReachedKind,
  type StoreText,
} from '../config/read-store-settings.ts'
import { renderConfiguration } from '../config/render-configuration.ts'
import { parseRepoName, type ClusterName, type RepoName } from '../domain/cluster-name.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { formatRepositoryLocation, parseRepositoryLocation } from '../storage/open-store.ts'
import { hasSystemCode, makeFolderDurably, publishDurably } from '../platform/durable-file.ts'

/** How a new repository is locked. */
export type RepositoryLock =
  /** `path` undefined: beside the configuration, named like the repo. */
  | { readonly kind: 'key-file'; readonly path: string | undefined }
  | { readonly kind: 'passphrase-file'; readonly path: string }
  | { readonly kind: 'none' }

/** What the operator asked `init` for. Undefined: not asked for. */
export interface WantedSetup {
  readonly configFile: string
  readonly cluster: ClusterName
  readonly connection: string
  /** Where the password is. */
  readonly passfile: string | undefined
  /** Whether dumps are all that is wanted. */
  readonly isLogicalOnly: boolean
  readonly dataDirectory: string | undefined
  readonly binDirectory: string | undefined
  readonly runAs: string | undefined
  /** As `formatRepositoryLocation` writes it. */
  readonly location: string
  /** The `s3` settings of the repo as they are written; empty: none. */
  readonly s3: StoreText
  /** The `gcs` settings of the repo as they are written; empty: none. */
  readonly gcs: StoreText
  /** The `sftp` settings of the repo as they are written; empty: none. */
  readonly sftp: StoreText
  /** The `azure` settings of the repo as they are written; empty: none. */
  readonly azure: StoreText
  readonly repoName: string | undefined
  readonly lock: RepositoryLock | undefined
}

/** The repository of the set-up, as the configuration has it or will have it. */
export interface PlannedRepo {
  readonly name: RepoName
  readonly location: string
  readonly keyFile: string | undefined
  readonly passphraseFile: string | undefined
  readonly s3?: S3Access | undefined
  readonly gcs?: GcsAccess | undefined
  readonly sftp?: SftpAccess | undefined
  readonly azure?: AzureAccess | undefined
}

export interface PlannedConfiguration {
  readonly repo: PlannedRepo
  /** Undefined: the file is there and says what is wanted. */
  readonly newText: string | undefined
}

const defaultRepoName = 'local'

/**
 * Decides what the configuration file will say, without writing it. A file that is there is never changed: it already
 * says what is wanted, or `config-differs` names the differences.
 */
export async function planConfiguration(wanted: WantedSetup): Promise<PlannedConfiguration> {
  if (await isThere(wanted.configFile)) {
    // Overrides of the environment are not what the file says.
    const loaded = await loadConfiguration({
      explicitFile: wanted.configFile,
      environment: {},
      home: undefined,
    })
    return { repo: agreeingRepo(loaded.configuration, wanted), newText: undefined }
  }
  refuseSecret(wanted.connection)
  const repo = newRepo(wanted)
  const { cluster: name, ...settings } = wanted
  const newText = renderConfiguration({
    cluster: { name, ...settings },
    repo: { ...repo, s3: wanted.s3, gcs: wanted.gcs, sftp: wanted.sftp, azure: wanted.azure },
  })
  return { repo, newText }
}

/** The connection string goes into the file and into other programs' hands. */
function refuseSecret(connection: string): void {
  const fault = connectionFault(connection)
  if (fault === undefined) return
  throw new OperationError(
    'usage',
    `reading --connection: expected a connection string without secrets, found one that ${fault}`,
    {
      hint: 'Put the password into ~/.pgpass of the user that runs the tool, mode 0600, or into a file like it that --passfile names.',
    },
  )
}

/** Writes the planned file, complete or not at all; never over one that is there. */
export async function writeConfiguration(file: string, text: string): Promise<void> {
  await makeFolderDurably(dirname(file), 0o700)
  if ((await publishDurably(file, Buffer.from(text), 0o600)) === 'created') return
  throw new OperationError(
    'config-differs',
    `writing the configuration ${quote(file)}: it has just appeared`,
    {
      hint: 'Run "holdfast init" again: it compares the file with what you ask for.',
    },
  )
}

function newRepo(wanted: WantedSetup): PlannedRepo {
  const { repoName = defaultRepoName, location, lock, configFile } = wanted
  const name = parseRepoName(repoName)
  const repo = { name, location, keyFile: undefined, passphraseFile: undefined, ...accessOf(wanted) }
  switch (lock?.kind) {
    case 'none':
      return repo
    case 'passphrase-file':
      return { ...repo, passphraseFile: lock.path }
    case 'key-file':
    case undefined:
      return { ...repo, keyFile: lock?.path ?? join(dirname(configFile), `${name}.key`) }
  }
}

function accessOf({ location, s3, gcs, sftp, azure }: WantedSetup): Pick<PlannedRepo, ReachedKind> {
  if (location.startsWith('s3:')) return { s3: readS3Settings(s3) }
  if (location.startsWith('gcs:')) return { gcs: readGcsSettings(gcs) }
  if (location.startsWith('azure:')) return { azure: readAzureSettings(azure) }
  return location.startsWith('sftp:') ? { sftp: readSftpSettings(sftp) } : {}
}

function agreeingRepo(configuration: Configuration, wanted: WantedSetup): PlannedRepo {
  const clusters = new Map<string, Configuration['clusters'][ClusterName]>(
    Object.entries(configuration.clusters),
  )
  const settings = clusters.get(wanted.cluster)
  if (settings === undefined) throw differs(wanted, [`it has no cluster "${wanted.cluster}"`])
  const found = Object.entries(configuration.repos).find(
    ([name, repo]) => canonical(repo.location) === wanted.location && (wanted.repoName ?? name) === name,
  )
  if (found === undefined) throw differs(wanted, [`it has no repo at "${wanted.location}"`])
  const [name, { location, keyFile, passphraseFile, s3, gcs, sftp, azure }] = found
  const repo = { name: parseRepoName(name), location, keyFile, passphraseFile, s3, gcs, sftp, azure }
  const differences = [
    ...difference('connection', wanted.connection, settings.connection),
    ...difference('passfile', wanted.passfile, settings.passfile),
    ...difference('logical-only', String(wanted.isLogicalOnly), String(settings.logicalOnly)),
    ...difference('data-directory', wanted.dataDirectory, settings.dataDirectory),
    ...difference('bin-directory', wanted.binDirectory, settings.binDirectory),
    ...lockDifference(wanted.lock, repo),
    ...accessDifference('s3', wanted, repo),
    ...accessDifference('gcs', wanted, repo),
    ...accessDifference('sftp', wanted, repo),
    ...accessDifference('azure', wanted, repo),
  ]
  if (differences.length > 0) throw differs(wanted, differences)
  return repo
}

function canonical(location: string): string {
  return formatRepositoryLocation(parseRepositoryLocation(location))
}

function difference(name: string, wanted: string | undefined, found: string | undefined): readonly string[] {
  if (wanted === undefined || wanted === found) return []
  return [`its ${name} is ${found === undefined ? 'not set' : quote(found)}, expected ${quote(wanted)}`]
}

/** What was asked for with `--s3` and the like must be what the file says; what was not asked for may be anything. */
function accessDifference(kind: ReachedKind, wanted: WantedSetup, repo: PlannedRepo): readonly string[] {
  const written = Object.keys(wanted[kind])
  if (repo[kind] === undefined || written.length === 0) return []
  const asked: ReadonlyMap<string, unknown> = new Map(Object.entries(accessOf(wanted)[kind] ?? {}))
  const found: ReadonlyMap<string, unknown> = new Map(Object.entries(repo[kind]))
  return written
    .filter((name) => asked.get(camelName(name)) !== found.get(camelName(name)))
    .map((name) => `its ${kind}.${name} is another one`)
}

function lockDifference(lock: RepositoryLock | undefined, repo: PlannedRepo): readonly string[] {
  switch (lock?.kind) {
    case undefined:
      return []
    case 'key-file':
      return difference('key-file', lock.path, repo.keyFile)
    case 'passphrase-file':
      return difference('passphrase-file', lock.path, repo.passphraseFile)
    case 'none':
      return repo.keyFile === undefined && repo.passphraseFile === undefined
        ? []
        : ['its repo is encrypted, expected one without encryption']
  }
}

function differs({ configFile }: WantedSetup, differences: readonly string[]): OperationError {
  return new OperationError(
    'config-differs',
    `comparing the configuration ${quote(configFile)} with what was asked for: ${differences.join('; ')}`,
    {
      hint: 'Change the file yourself and run "holdfast init" again, or name another one with --config.',
    },
  )
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT', 'ENOTDIR')) return false
    return true // reading it will say what is wrong
  }
}
