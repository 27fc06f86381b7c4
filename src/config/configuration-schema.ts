import { z } from 'zod'
import { isClusterName, isRepoName } from '../domain/cluster-name.ts'
import type { Instant } from '../domain/target-time.ts'
import { azureAccessSchema } from './azure-access-schema.ts'
import { camelKeys } from './camel-keys.ts'
import { connectionFault } from './check-connection.ts'
import { checkReferences } from './check-references.ts'
import { gcsAccessSchema } from './gcs-access-schema.ts'
import { s3AccessSchema } from './s3-access-schema.ts'
import { sftpAccessSchema } from './sftp-access-schema.ts'
import { absolutePath, byteSize, choice, duration, flag, wholeNumber } from './setting-types.ts'

/*
 * Every setting, with what it accepts, its default and one sentence about it. From here come the validation, the JSON
 * Schema for editors, the environment overrides and what `config show` lists. The error text of a leaf says what is
 * expected; where the value stands and what was found is added by `describe-issue.ts`.
 */

const nameRule =
  'a name of 1 to 63 lower-case letters, digits, "-" and "_", starting with a letter or a digit'

const clusterName = z.string().refine(isClusterName, nameRule)

const repoName = z.string().refine(isRepoName, nameRule)

const connection = z.string('a libpq connection string').superRefine((text, context) => {
  const fault = connectionFault(text)
  if (fault === undefined) return
  context.addIssue({
    code: 'custom',
    message: 'a libpq connection string without secrets (a password belongs into a passfile)',
    params: { found: `one that ${fault}` },
  })
})

const keptCount = (what: string) =>
  wholeNumber(1, 100_000).optional().describe(`${what} Not set: this rule keeps none.`)

const keptPeriods = (of: string) =>
  keptCount(`Keep the newest backup of each of the last so many ${of} in which there is one, in UTC.`)

const keptDumps = (of: string) =>
  keptCount(`Keep the newest dump of each of the last so many ${of} in which there is one, in UTC.`)

const dumpKeep = z
  .strictObject({
    count: keptCount('Keep the newest so many dumps of what was dumped.'),
    window: duration()
      .optional()
      .describe('Keep all dumps of so long, such as "30d". Not set: this rule keeps none.'),
    daily: keptDumps('days'),
    weekly: keptDumps('weeks'),
    monthly: keptDumps('months'),
    yearly: keptDumps('years'),
    minimum: wholeNumber(1, 100_000)
      .default(1)
      .describe('Never keep fewer usable dumps of what was dumped than this, whatever the other rules say.'),
    'after-dump': flag()
      .default(true)
      .describe('Whether a dump, once it is complete, expires older ones by these rules.'),
  })
  .transform(camelKeys)

const keep = z
  .strictObject({
    count: keptCount('Keep the newest so many usable backups.'),
    window: duration()
      .optional()
      .describe(
        'Keep what is needed to reach every moment of so long, such as "14d": also the newest backup from before that. Not set: this rule keeps none.',
      ),
    daily: keptPeriods('days'),
    weekly: keptPeriods('weeks'),
    monthly: keptPeriods('months'),
    yearly: keptPeriods('years'),
    minimum: wholeNumber(1, 100_000)
      .default(2)
      .describe('Never keep fewer usable backups than this, whatever the other rules say.'),
    'after-backup': flag()
      .default(true)
      .describe('Whether a backup, once it is complete, expires older ones by these rules.'),
    dumps: dumpKeep
      .prefault({})
      .describe(
        'Which dumps "expire" keeps: of whatever was dumped, the union of what these rules ask for. Without a rule no dump expires.',
      ),
  })
  .transform(camelKeys)

const cluster = z
  .strictObject({
    connection: connection.describe(
      'How to reach the server: a libpq connection string, such as "host=/var/run/postgresql user=postgres". It must not hold a password.',
    ),
    passfile: absolutePath()
      .optional()
      .describe('The password file (.pgpass format) to use for the connection, mode 0600.'),
    'data-directory': absolutePath()
      .optional()
      .describe('The data directory of the cluster on this host. Not set: the server is asked.'),
    'bin-directory': absolutePath()
      .optional()
      .describe('Where the programs of this PostgreSQL version are. Not set: the usual places are searched.'),
    'run-as': z
      .string('the name of a user of this machine')
      .regex(/^[A-Za-z_][A-Za-z0-9_.-]*\$?$/, 'the name of a user of this machine')
      .optional()
      .describe(
        'The user that the tool becomes when it is started as root. Not set: the owner of the data directory.',
      ),
    repos: z
      .array(z.string('the name of a repo'), 'a list of repo names')
      .min(1, 'a list of at least one repo name')
      .optional()
      .describe('The repos that hold this cluster. Not set: all that are configured.'),
    'logical-only': flag()
      .default(false)
      .describe(
        'Whether it is protected by dumps only, because its server allows no physical backup, as is usual with managed and remote ones. Nothing is archived then.',
      ),
    'excluded-databases': z
      .array(z.string('the name of a database'), 'a list of names of databases')
      .optional()
      .describe(
        'Databases that "dump --all" and "check" leave out, such as one that a provider keeps for itself. Not set: none.',
      ),
    links: choice(['error', 'follow', 'as-link'])
      .default('error')
      .describe(
        'What a backup does with a symbolic link in the data directory that PostgreSQL did not make: stop, copy what it points to, or keep it as a link.',
      ),
    keep: keep
      .optional()
      .describe(
        'The keep rules of this cluster. Set: the general ones do not count for it, not one of them.',
      ),
  })
  .transform(camelKeys)

const locationRule =
  'posix:/path, s3:bucket/prefix, gcs:bucket/prefix, azure:container/prefix or sftp:user@host/path, the kinds of location that this version knows'

const locationPattern =
  /^(posix:\/[^\0\n]*|(s3|gcs):[A-Za-z0-9][A-Za-z0-9._/-]*|azure:[a-z0-9][A-Za-z0-9._/-]*|sftp:[^\s:@/]+@([^\s:@/[\]]+|\[[0-9A-Fa-f:.]+\])(:\d+)?\/[^\0\n]*)$/

interface WrittenRepo {
  readonly location: string
  readonly s3?: unknown
  readonly gcs?: unknown
  readonly azure?: unknown
  readonly sftp?: unknown
}

/** Kinds of location that have settings of their own, and what is missing without any. */
const reachedKinds = [
  { kind: 's3', name: 'S3', missing: undefined },
  { kind: 'gcs', name: 'Google Cloud Storage', missing: undefined },
  {
    kind: 'azure',
    name: 'Azure',
    missing: 'the account that the container is in, and how to prove who asks',
  },
  { kind: 'sftp', name: 'SFTP', missing: 'how the user of the SFTP server proves who it is' },
] as const

/** Settings of one kind of location do not stand at another, and Azure and SFTP have to be told who asks. */
function checkKind(written: WrittenRepo, context: z.core.$RefinementCtx): void {
  const report = (kind: string, message: string, found: string): void =>
    context.addIssue({ code: 'custom', path: [kind], message, params: { found } })
  for (const { kind, name, missing } of reachedKinds) {
    const isOfKind = written.location.startsWith(`${kind}:`)
    if (written[kind] !== undefined && !isOfKind) {
      report(kind, `no settings of ${name} for another kind of location`, 'some')
    }
    if (written[kind] === undefined && isOfKind && missing !== undefined) report(kind, missing, 'nothing')
  }
}

const repo = z
  .strictObject({
    location: z
      .string(locationRule)
      .regex(locationPattern, locationRule)
      .describe(
        'Where the repository is: posix:/path, a directory of a local or mounted file system, s3:bucket/prefix, gcs:bucket/prefix, azure:container/prefix, or sftp:user@host/path.',
      ),
    s3: s3AccessSchema
      .optional()
      .describe('How the bucket is reached. Not set: as one of AWS, with keys of the usual places.'),
    gcs: gcsAccessSchema
      .optional()
      .describe(
        'How the bucket of Google Cloud Storage is reached. Not set: with the service account of this machine.',
      ),
    azure: azureAccessSchema
      .optional()
      .describe('How the container is reached: which account it is in, and how to prove who asks.'),
    sftp: sftpAccessSchema
      .optional()
      .describe('How the SFTP server is reached: which key it has, and how the user proves who it is.'),
    'off-site': flag()
      .optional()
      .describe(
        'Whether it outlives the loss of the site that the server is at. Not set: yes, unless it is a directory of this host.',
      ),
    encryption: choice(['required', 'none'])
      .default('required')
      .describe(
        'Whether everything is encrypted before it leaves this host. "none" is for repositories without a key.',
      ),
    'key-file': absolutePath()
      .optional()
      .describe('The file that holds the key of the repository, mode 0600.'),
    'passphrase-file': absolutePath()
      .optional()
      .describe(
        'The file that holds the passphrase of the repository, mode 0600. One newline at its end does not count.',
      ),
  })
  .superRefine((settings, context) => {
    checkKind(settings, context)
    const given = [settings['key-file'], settings['passphrase-file']].filter((file) => file !== undefined)
    if (settings.encryption === 'required' && given.length !== 1) {
      context.addIssue({
        code: 'custom',
        message: 'exactly one of key-file and passphrase-file, because encryption is required',
        params: { found: given.length === 0 ? 'neither' : 'both' },
      })
    }
    if (settings.encryption === 'none' && given.length > 0) {
      context.addIssue({
        code: 'custom',
        message: 'no key-file and no passphrase-file, because encryption is none',
        params: { found: 'one of them' },
      })
    }
  })
  .transform(camelKeys)
  .transform((settings) =>
    settings.location.startsWith('s3:')
      ? { ...settings, s3: settings.s3 ?? s3AccessSchema.parse({}) }
      : settings,
  )
  .transform((settings) =>
    settings.location.startsWith('gcs:')
      ? { ...settings, gcs: settings.gcs ?? gcsAccessSchema.parse({}) }
      : settings,
  )

const backup = z
  .strictObject({
    workers: wholeNumber(1, 64)
      .default(2)
      .describe('How many workers compress and encrypt at the same time.'),
    'compression-level': wholeNumber(1, 19)
      .default(1) // 3 takes up to twice the CPU time for pages, and makes them no smaller: docs/performance.md
      .describe('The zstd level for backups: 1 is fast, 19 is small.'),
    'max-rate': byteSize()
      .optional()
      .describe('How much a backup reads in a second at most. Not set: as fast as it goes.'),
    'archive-timeout': duration()
      .prefault('10m')
      .describe('How long a backup waits at its end until the WAL that it needs is archived.'),
    'fast-checkpoint': flag()
      .default(true)
      .describe(
        'Whether a backup asks for an immediate checkpoint (true) or waits for a spread one (false).',
      ),
    'copy-to-all': flag()
      .default(true)
      .describe(
        'Whether a backup or a dump goes into all repositories of the cluster: into the first, and from there into the others, a backup out of memory. False: into the first only.',
      ),
    'audit-every': wholeNumber(1, 100_000)
      .default(30)
      .describe(
        'Of so many incremental backups one reads everything and compares it with what the WAL says has changed. The first one after a full backup always does.',
      ),
  })
  .transform(camelKeys)

const archive = z
  .strictObject({
    policy: choice(['all', 'quorum', 'one'])
      .default('all')
      .describe(
        'How many repositories of the cluster must hold a WAL file before PostgreSQL is told that it is archived: all of them, a quorum (more than half), or one. The others get it too when they can.',
      ),
    'compression-level': wholeNumber(1, 19)
      .default(1)
      .describe('The zstd level for WAL: 1 is fast, 19 is small.'),
    'push-timeout': duration()
      .prefault('1m')
      .describe('How long one archive-push tries before it fails and leaves the retry to PostgreSQL.'),
    prefetch: wholeNumber(0, 1024)
      .default(16)
      .describe('How many WAL segments archive-get fetches ahead. 0: none.'),
  })
  .transform(camelKeys)

const restore = z
  .strictObject({
    workers: wholeNumber(1, 64)
      .default(2)
      .describe('How many workers decrypt and decompress at the same time.'),
  })
  .transform(camelKeys)

/** The whole configuration file. Parsing gives a `Configuration`: camel-case keys, sizes in bytes, durations in ms. */
export const configurationSchema = z
  .strictObject({
    clusters: z
      .record(clusterName, cluster)
      .prefault({})
      .describe('The PostgreSQL clusters that are protected, by the name that backups are filed under.'),
    repos: z.record(repoName, repo).prefault({}).describe('The repositories that hold the backups, by name.'),
    backup: backup.prefault({}).describe('How backups are taken.'),
    archive: archive.prefault({}).describe('How WAL is archived and fetched.'),
    restore: restore.prefault({}).describe('How backups are restored.'),
    keep: keep
      .prefault({})
      .describe(
        'Which backups "expire" keeps: the union of what the rules ask for. Without a rule nothing expires.',
      ),
    'state-directory': absolutePath()
      .optional()
      .describe(
        'Where this host remembers which catalogues it has seen, so that it notices when a repository goes back. Not set: /var/lib/holdfast when the user may write there, otherwise ~/.local/state/holdfast.',
      ),
    'sandbox-directory': absolutePath()
      .optional()
      .describe(
        'Where throw-away servers are restored to, each in a folder of its own that is removed afterwards, and where parallel dumps and loads keep files meanwhile. Needs room for the cluster. Not set: the folder "sandbox" in the state directory.',
      ),
  })
  .superRefine(checkReferences)
  .transform(camelKeys)

/** What is in force after defaults and overrides. */
export type Configuration = Readonly<z.output<typeof configurationSchema>> & {
  /** No setting: the moment as of which all repositories are read, when a command asks for that. */
  readonly repoAsOf?: Instant | undefined
}
