import type { AtDocument } from '../api/at-document.ts'
import { OperationError, operationErrors, type OperationErrorCode } from '../domain/operation-error.ts'
import type { RecoveryTargetOptions } from '../domain/recovery-target.ts'

/** What `at --advance` asks of the process that keeps a sandbox: options as they were written. */
export interface AdvanceRequest {
  readonly options: RecoveryTargetOptions
  readonly keep: string
}

export type AdvanceAnswer =
  | { readonly kind: 'done'; readonly document: AtDocument }
  | {
      readonly kind: 'failed'
      readonly code: OperationErrorCode
      readonly message: string
      readonly hint: string | undefined
    }

export const encodeAdvance = (request: AdvanceRequest): string => JSON.stringify(request)

/** Both ends are the same program, run by the same user: only what is no request at all is refused. */
export function decodeAdvance(text: string): AdvanceRequest {
  const request: unknown = JSON.parse(text)
  if (isObject(request) && isObject(request['options']) && typeof request['keep'] === 'string') {
    const { options, keep } = request
    return { options, keep }
  }
  throw new OperationError('usage', 'reading a request: it is none')
}

export const encodeAnswer = (answer: AdvanceAnswer): string => JSON.stringify(answer)

/** The document; throws what the other process has thrown. */
export function readAnswer(text: string): AtDocument {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by encodeAnswer of the same program
  const answer = JSON.parse(text) as AdvanceAnswer
  if (answer.kind === 'done') return answer.document
  const { code, message, hint } = answer
  const known = Object.hasOwn(operationErrors, code) ? code : 'server-failed'
  throw new OperationError(known, message, hint === undefined ? {} : { hint })
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null
