import type { OperationErrorCode } from '../domain/operation-error.ts'
import type { JsonDocument } from './json-document.ts'

/** The answer of a command that failed. */
export interface ErrorDocument extends JsonDocument {
  readonly error: {
    /** `internal`: a mistake in the tool. */
    readonly code: OperationErrorCode | 'internal'
    readonly message: string
    readonly hint: string | null
    readonly exitCode: number
  }
}
