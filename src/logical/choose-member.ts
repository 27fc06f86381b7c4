import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import type { DumpHead, DumpMember } from '../repository/dump-head.ts'
import type { DumpSelection } from './dump-selection.ts'

/** Throws `not-found` when there is no such dump. */
export function chooseDump(dumps: readonly ListedDump[], label: BackupLabel): ListedDump {
  const dump = dumps.find((candidate) => candidate.label === label)
  if (dump !== undefined) return dump
  throw new OperationError('not-found', `loading dump ${label}: the repository lists no such dump`, {
    hint: 'See what there is with "holdfast info".',
  })
}

/** Of which part of a dump: a database by name, the roles and tablespaces, or, undefined, the only database. */
export type WantedMember = { readonly database: string } | 'globals' | undefined

/** Throws `usage` when it is not said which, and `not-found` when there is none such. */
export function chooseMember({ label, members }: DumpHead, wanted: WantedMember): DumpMember {
  const databases = members.filter(({ kind }) => kind === 'database')
  const [only, ...others] = databases
  if (wanted === undefined) {
    if (only !== undefined && others.length === 0) return only
    throw new OperationError(
      'usage',
      `loading dump ${label}: expected which of its ${databases.length} databases, found none named`,
      { hint: `Name one with --database: ${names(databases)}.` },
    )
  }
  const found =
    wanted === 'globals'
      ? members.find(({ kind }) => kind === 'globals')
      : databases.find(({ database }) => database === wanted.database)
  if (found !== undefined) return found
  const what = wanted === 'globals' ? 'roles and tablespaces' : `database ${quote(wanted.database)}`
  throw new OperationError('not-found', `loading dump ${label}: it does not hold ${what}`, {
    hint: `It holds ${names(members)}.`,
  })
}

/** What has another word than ours for its bytes is taken for SQL text. */
export function formatOf({ format }: Pick<DumpMember, 'format'>): DumpSelection['format'] {
  return format === 'custom' || format === 'directory' ? format : 'plain'
}

const mostShown = 20

function names(members: readonly DumpMember[]): string {
  const shown = members.slice(0, mostShown).map(({ database, name }) => quote(database ?? name))
  return members.length > mostShown ? `${shown.join(', ')} and others` : shown.join(', ')
}
