import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'

export const postgresMajors = [14, 15, 16, 17, 18] as const

/** A major version that Holdfast supports. */
export type PostgresMajor = (typeof postgresMajors)[number]

export interface PostgresVersion {
  readonly major: PostgresMajor
  readonly minor: number
}

/** Reads `server_version_num`, for example 150018 for 15.18. Client programs are never asked (R2). */
export function parseServerVersionNum(text: string): PostgresVersion {
  if (!/^[1-9][0-9]{4,5}$/.test(text)) throw unsuitable(`server_version_num ${quote(text)}`)
  const [major, minor] = [Math.floor(Number(text) / 10_000), Number(text) % 10_000]
  if (!isPostgresMajor(major)) throw unsuitable(`PostgreSQL ${major}`)
  return { major, minor }
}

/** Reads the content of a PG_VERSION file. */
export function parsePostgresMajor(text: string): PostgresMajor {
  const major = /^[1-9][0-9]?\n?$/.test(text) ? Number(text) : 0
  if (!isPostgresMajor(major)) throw unsuitable(`PostgreSQL version ${quote(text.trimEnd())}`)
  return major
}

export function formatPostgresVersion({ major, minor }: PostgresVersion): string {
  return `${major}.${minor}`
}

function isPostgresMajor(major: number): major is PostgresMajor {
  return postgresMajors.some((known) => known === major)
}

function unsuitable(found: string): OperationError {
  const range = `${postgresMajors[0]} to ${postgresMajors.at(-1)}`
  return new OperationError(
    'server-unsuitable',
    `${found} was found where PostgreSQL ${range} was expected`,
    {
      hint: `Holdfast works with PostgreSQL ${range}; use another tool for this server or upgrade it.`,
    },
  )
}
