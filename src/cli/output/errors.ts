import { getSystemErrorMessage } from 'node:util'
import type { ErrorDocument } from '../../api/error-document.ts'
import { isOperationError, OperationError } from '../../domain/operation-error.ts'
import { quote } from '../../domain/quote.ts'
import { redact } from './redact.ts'
import { printable } from './text.ts'
import type { Style } from './text.ts'

interface ErrorFormat {
  readonly style: Style
  /** Whether causes and stacks are wanted. */
  readonly isDebug: boolean
}

/** An error as the operator reads it: `error:` and the message, `hint:` and the next step, causes when debugging. */
export function formatError(thrown: unknown, { style, isDebug }: ErrorFormat): string {
  const error = explain(thrown)
  const { message, hint } = describeError(error)
  return [
    ...message.split('\n').map((line) => `${style('red', 'error:')} ${line}`),
    ...(isDebug ? causes(error) : []),
    ...(hint === undefined ? [] : [`${style('cyan', 'hint:')} ${hint}`]),
  ]
    .map((line) => `${line}\n`)
    .join('')
}

export function errorDocument(thrown: unknown, exitCode: number): ErrorDocument {
  const error = explain(thrown)
  const { message, hint } = describeError(error)
  const code = isOperationError(error) ? error.code : 'internal'
  return { version: 1, error: { code, message, hint: hint ?? null, exitCode } }
}

/** What disks, file systems and limits say, wherever it surfaces; any other error of the system is a mistake of ours. */
const failuresOfTheWorld = new Set([
  'EIO',
  'ENOSPC',
  'EDQUOT',
  'EROFS',
  'ESTALE',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
])
const fullDisks = new Set(['ENOSPC', 'EDQUOT'])

/** An error of the system that nobody has explained on its way here, with the code and the next step that it calls for. */
function explain(error: unknown): unknown {
  if (!isFailureOfTheWorld(error)) return error
  const call = 'syscall' in error && typeof error.syscall === 'string' ? error.syscall : 'a system call'
  const path = 'path' in error && typeof error.path === 'string' ? ` of ${quote(error.path)}` : ''
  const isFull = fullDisks.has(error.code)
  return new OperationError(
    isFull ? 'no-space' : 'file-unwritable',
    `${call}${path}: ${getSystemErrorMessage(error.errno)} (${error.code})`,
    {
      cause: error,
      hint: isFull
        ? 'Free space there, or raise the quota; then run the command again.'
        : 'Look into the system log for errors of this disk or file system; then run the command again.',
    },
  )
}

function isFailureOfTheWorld(error: unknown): error is Error & { code: string; errno: number } {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    'errno' in error &&
    typeof error.errno === 'number' &&
    failuresOfTheWorld.has(error.code)
  )
}

function describeError(error: unknown): { readonly message: string; readonly hint: string | undefined } {
  if (isOperationError(error)) {
    const hint = error.hint === undefined ? undefined : clean(error.hint)
    return { message: clean(error.message), hint }
  }
  const [first = ''] = clean(error instanceof Error ? error.message : String(error)).split('\n')
  return {
    message: first === '' ? 'internal error' : `internal error: ${first}`,
    hint: 'This is a mistake in holdfast: run it again with "--log-level debug" and report what it prints.',
  }
}

/** Chains of causes are short; this bounds one that bites its own tail. */
const mostCauses = 10

function causes(error: unknown): readonly string[] {
  const lines: string[] = []
  let current: unknown = isOperationError(error) ? error.cause : error
  for (let depth = 0; current !== undefined && current !== null && depth < mostCauses; depth++) {
    lines.push(...describeCause(current).split('\n'))
    current = current instanceof Error ? current.cause : undefined
  }
  return lines.map((line) => `debug: ${line}`)
}

function describeCause(cause: unknown): string {
  if (isOperationError(cause)) return clean(cause.message)
  return clean(cause instanceof Error ? (cause.stack ?? cause.message) : String(cause))
}

function clean(text: string): string {
  return printable(redact(text))
}
