import type { CopyListing } from '../api/backup-document.ts'
import type { BackupCopy } from '../app/copy-backup.ts'
import { nounOf } from '../domain/backup-label.ts'
import { isOperationError, operationErrors } from '../domain/operation-error.ts'
import type { CommandEnvironment } from './command-environment.ts'

/** The other repositories, as programs are told of them. */
export function listCopies(copies: readonly BackupCopy[]): readonly CopyListing[] {
  return copies.map(({ failure, location, ...copy }) => ({
    ...copy,
    location: location ?? null,
    failure: failure === undefined ? null : messageOf(failure),
  }))
}

/** What was taken is good where it is; that it is not where it was to be as well is not passed over. */
export function tellFailedCopies(
  label: string,
  copies: readonly BackupCopy[],
  environment: CommandEnvironment,
): void {
  for (const { repo, failure } of copies) {
    if (failure === undefined) continue
    environment.context.report({
      kind: 'warning',
      message: `repo "${repo}" does not have ${nounOf(label)} ${label}: ${messageOf(failure)}`,
      hint: 'Run "holdfast repo copy" when it can be reached.',
    })
    environment.exitWith(isOperationError(failure) ? operationErrors[failure.code].exitCode : 1)
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
