import { dirname, join, resolve } from 'node:path'
import { sharedStateDirectory } from '../app/state-directory.ts'
import type { RepositoryLock, WantedSetup } from '../app/initial-configuration.ts'
import { parseStoreSetting, type ReachedKind, type StoreText } from '../config/read-store-settings.ts'
import { isClusterName, parseClusterName } from '../domain/cluster-name.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { formatRepositoryLocation, localFolderOf, parseRepositoryLocation } from '../storage/open-store.ts'
import type { CommandEnvironment } from './command-environment.ts'

export interface InitOptions {
  readonly connection?: string
  readonly passfile?: string
  readonly logicalOnly?: true
  readonly repoName?: string
  readonly keyFile?: string
  readonly passphraseFile?: string
  /** `--no-encryption` makes it false. */
  readonly encryption: boolean
  readonly apply?: true
  readonly replaceArchiveCommand?: true
  readonly dataDirectory?: string
  readonly binDirectory?: string
  readonly runAs?: string
  /** `NAME=VALUE`, each. */
  readonly s3: readonly string[]
  readonly gcs: readonly string[]
  readonly sftp: readonly string[]
  readonly azure: readonly string[]
}

/** The three things that only the operator knows. */
interface Answers {
  readonly cluster: string
  readonly connection: string
  readonly repo: string
}

type Given = { readonly [Name in keyof Answers]: string | undefined }

/** What is asked for, checked as far as it can be without touching anything; asks on a terminal for what is missing. */
export async function readInitOptions(
  options: InitOptions,
  environment: CommandEnvironment,
): Promise<WantedSetup> {
  const { cluster, connection, repo } = await completeAnswers(options, environment)
  const isRoot = process.geteuid?.() === 0
  const configFile = resolve(environment.options.config ?? defaultFile(environment, isRoot))
  return {
    configFile,
    cluster: parseClusterName(cluster),
    connection,
    passfile: absolute(options.passfile),
    isLogicalOnly: options.logicalOnly === true,
    location: formatRepositoryLocation(parseRepositoryLocation(repo)),
    s3: readStoreOptions('s3', options.s3, repo),
    gcs: readStoreOptions('gcs', options.gcs, repo),
    sftp: readStoreOptions('sftp', options.sftp, repo),
    azure: readStoreOptions('azure', options.azure, repo),
    repoName: options.repoName,
    lock: lockOf(options),
    dataDirectory: absolute(options.dataDirectory),
    binDirectory: absolute(options.binDirectory),
    runAs: options.runAs,
  }
}

/**
 * The folders that are made for the set-up, by root for the user that it becomes. One of the whole machine gets the
 * shared place to remember in.
 */
export function foldersOf({ configFile, location, lock }: WantedSetup): string[] {
  const folder = localFolderOf(location)
  return [
    dirname(configFile),
    ...(folder === undefined ? [] : [folder]),
    ...(configFile.startsWith('/etc/') ? [sharedStateDirectory] : []),
    ...(lock?.kind === 'key-file' && lock.path !== undefined ? [dirname(lock.path)] : []),
  ]
}

const examples = {
  s3: 's3:bucket/prefix',
  gcs: 'gcs:bucket/prefix',
  azure: 'azure:container/prefix',
  sftp: 'sftp:user@host/path',
}

function readStoreOptions(kind: ReachedKind, written: readonly string[], repo: string): StoreText {
  if (written.length > 0 && parseRepositoryLocation(repo).kind !== kind) {
    throw new OperationError(
      'usage',
      `reading the arguments: expected --${kind} with a location of that kind, found another`,
      {
        hint: `Write "--repo ${examples[kind]}".`,
      },
    )
  }
  return Object.fromEntries(written.flatMap((text) => Object.entries(parseStoreSetting(kind, text))))
}

async function completeAnswers(
  { connection, logicalOnly }: InitOptions,
  environment: CommandEnvironment,
): Promise<Answers> {
  const { cluster, repo } = environment.options
  if (cluster !== undefined && connection !== undefined && repo !== undefined)
    return { cluster, connection, repo }
  if (!process.stdin.isTTY || !process.stdout.isTTY) throw missing({ cluster, connection, repo })
  const example = connectionExamples[logicalOnly === true ? 'logical' : 'physical']
  return ask({ cluster, connection, repo }, { example, environment })
}

const connectionExamples = {
  physical: 'host=/var/run/postgresql user=postgres dbname=postgres',
  logical: 'host=db.example.com user=holdfast dbname=postgres sslmode=verify-full sslrootcert=system',
}

function missing(given: Given): OperationError {
  const names = (['cluster', 'connection', 'repo'] as const).filter((name) => given[name] === undefined)
  const options = names.map((name) => `--${name}`).join(', ')
  return new OperationError('usage', `reading the arguments: expected ${options}, found none`, {
    hint: 'Write "holdfast init --cluster NAME --connection CONNINFO --repo posix:/path", or run it on a terminal.',
  })
}

interface Asking {
  readonly example: string
  readonly environment: CommandEnvironment
}

async function ask(given: Given, { example, environment: { surroundings } }: Asking): Promise<Answers> {
  const { isCancel, text } = await import('@clack/prompts')
  const question = async (
    message: string,
    initialValue: string,
    check: (text: string) => string | undefined,
  ) => {
    const answer = await text({
      message,
      initialValue,
      validate: (value) => check(value ?? ''),
      signal: surroundings.signal,
    })
    if (isCancel(answer))
      throw new OperationError('cancelled', 'asking what to set up: cancelled, nothing was changed')
    return answer
  }
  return {
    cluster: given.cluster ?? (await question('What is the cluster called?', 'main', clusterFault)),
    connection: given.connection ?? (await question('How is its server reached?', example, () => undefined)),
    repo:
      given.repo ??
      (await question('Where do its backups go?', 'posix:/var/lib/holdfast-repo', locationFault)),
  }
}

function clusterFault(text: string): string | undefined {
  return isClusterName(text) ? undefined : '1 to 63 lower-case letters, digits, "-" and "_"'
}

function locationFault(text: string): string | undefined {
  try {
    parseRepositoryLocation(text)
    return undefined
  } catch (error) {
    if (isOperationError(error)) return error.message
    throw error
  }
}

function lockOf({ encryption, keyFile, passphraseFile }: InitOptions): RepositoryLock | undefined {
  const given = [keyFile, passphraseFile, encryption ? undefined : 'none'].filter((way) => way !== undefined)
  if (given.length > 1) {
    throw new OperationError(
      'usage',
      'reading the arguments: expected at most one of --key-file, --passphrase-file and --no-encryption, found several',
      { hint: 'Choose one of them; without any, a key file is made.' },
    )
  }
  if (keyFile !== undefined) return { kind: 'key-file', path: resolve(keyFile) }
  if (passphraseFile !== undefined) return { kind: 'passphrase-file', path: resolve(passphraseFile) }
  return encryption ? undefined : { kind: 'none' }
}

function absolute(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(path)
}

function defaultFile(environment: CommandEnvironment, isRoot: boolean): string {
  const named = environment.surroundings.variables['HOLDFAST_CONFIG']
  if (named !== undefined && named !== '') return named
  return isRoot
    ? '/etc/holdfast/holdfast.yaml'
    : join(homeOf(environment), '.config', 'holdfast', 'holdfast.yaml')
}

function homeOf({ surroundings }: CommandEnvironment): string {
  if (surroundings.home !== undefined) return surroundings.home
  throw new OperationError(
    'usage',
    'choosing a place for the configuration: this user has no home directory',
    {
      hint: 'Name the file with --config.',
    },
  )
}
