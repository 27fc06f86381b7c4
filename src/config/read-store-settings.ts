import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { azureAccessSchema, type AzureAccess } from './azure-access-schema.ts'
import { s3AccessSchema, type S3Access } from './s3-access-schema.ts'
import { sftpAccessSchema, type SftpAccess } from './sftp-access-schema.ts'
import { describeIssue } from './describe-issue.ts'
import { gcsAccessSchema, type GcsAccess } from './gcs-access-schema.ts'
import { describeProblems } from './problem.ts'

/** Settings of how a store is reached as they were written, by their names: `path-style`. */
export type StoreText = Readonly<Record<string, string | number | boolean>>

/** The kinds of location that have settings of their own, named as their section is. */
export type ReachedKind = 's3' | 'gcs' | 'azure' | 'sftp'

/** A setting that is likely to be wanted, for the hint. */
const examples = {
  s3: 'region=eu-central-1',
  gcs: 'storage-class=NEARLINE',
  azure: 'account=acmebackups',
  sftp: 'max-requests=4',
}

/** Reads `NAME=VALUE` of an option such as `--s3`. Numbers and flags become what YAML would make of them. Throws `usage`; the value is not repeated. */
export function parseStoreSetting(kind: ReachedKind, text: string): StoreText {
  const end = text.indexOf('=')
  const name = text.slice(0, end)
  if (end === -1 || !/^[a-z][a-z0-9-]*$/.test(name)) {
    throw new OperationError('usage', `reading --${kind}: expected NAME=VALUE, found something else`, {
      hint: `Write "--${kind} ${examples[kind]}"; docs/${kind}.md lists the names.`,
    })
  }
  const value = text.slice(end + 1)
  if (value === 'true' || value === 'false') return { [name]: value === 'true' }
  return { [name]: /^\d{1,9}$/.test(value) ? Number(value) : value }
}

/** The settings of one bucket with their defaults. Throws `usage` with everything that is wrong with them. */
export function readS3Settings(written: StoreText): S3Access {
  refuseUnknown('s3', written)
  const parsed = s3AccessSchema.safeParse(written)
  if (parsed.success) return parsed.data
  throw wrongSettings('s3', parsed.error, written)
}

/** The settings of one bucket of Google Cloud Storage with their defaults. Throws `usage` with everything that is wrong with them. */
export function readGcsSettings(written: StoreText): GcsAccess {
  refuseUnknown('gcs', written)
  const parsed = gcsAccessSchema.safeParse(written)
  if (parsed.success) return parsed.data
  throw wrongSettings('gcs', parsed.error, written)
}

/** The settings of one SFTP server with their defaults. Throws `usage` with everything that is wrong with them. */
export function readSftpSettings(written: StoreText): SftpAccess {
  refuseUnknown('sftp', written)
  const parsed = sftpAccessSchema.safeParse(written)
  if (parsed.success) return parsed.data
  throw wrongSettings('sftp', parsed.error, written)
}

/** The settings of one container of Azure with their defaults. Throws `usage` with everything that is wrong with them. */
export function readAzureSettings(written: StoreText): AzureAccess {
  refuseUnknown('azure', written)
  const parsed = azureAccessSchema.safeParse(written)
  if (parsed.success) return parsed.data
  throw wrongSettings('azure', parsed.error, written)
}

const schemas = {
  s3: s3AccessSchema,
  gcs: gcsAccessSchema,
  azure: azureAccessSchema,
  sftp: sftpAccessSchema,
}

function refuseUnknown(kind: ReachedKind, written: StoreText): void {
  const known = Object.keys(schemas[kind].in.shape)
  const unknown = Object.keys(written).find((name) => !known.includes(name))
  if (unknown === undefined) return
  throw new OperationError(
    'usage',
    `reading --${kind}: expected the name of a setting, found ${quote(unknown)}`,
    { hint: `Use one of ${known.join(', ')}.` },
  )
}

type ZodError = NonNullable<ReturnType<typeof s3AccessSchema.safeParse>['error']>

function wrongSettings(
  kind: ReachedKind,
  { issues }: Pick<ZodError, 'issues'>,
  written: StoreText,
): OperationError {
  const problems = issues.flatMap((issue) => describeIssue(issue, written, () => `option --${kind}`))
  return new OperationError('usage', describeProblems(problems), {
    hint: 'Correct this; docs/configuration.md describes every setting.',
  })
}
