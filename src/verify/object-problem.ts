import { isOperationError, type OperationError, type OperationErrorCode } from '../domain/operation-error.ts'
import type { Damage } from './damage.ts'

/** One thing that is wrong, before anybody has asked what it costs. */
export interface Finding extends Pick<Damage, 'key' | 'kind' | 'problem' | 'group'> {
  /** A listing does not have the object. */
  readonly isAbsent?: true
}

/** These say nothing about an object: the store could not be asked, or the work was stopped. */
const notAboutObjects: ReadonlySet<OperationErrorCode> = new Set([
  'store-unreachable',
  'store-failed',
  'no-space',
  'lease-lost',
  'busy',
  'cancelled',
])

/**
 * What an error says about the object that was read: a line for people; undefined when it is not about the object. A
 * medium that cannot read some sectors, or a file that somebody took the access to, is about the object: others may be
 * read all the same.
 */
export function objectProblem(error: unknown): string | undefined {
  if (!isOperationError(error)) return undefined
  if (notAboutObjects.has(error.code) && !isAboutFile(error)) return undefined
  return error.message
}

/** Whether the store answers and one file cannot be read. A file that ends early gives no error of the system. */
export function isAboutFile(error: unknown): error is OperationError {
  if (!isOperationError(error, 'store-failed')) return false
  const { cause } = error
  return cause === undefined || (cause instanceof Error && 'code' in cause && fileTroubles.has(cause.code))
}

const fileTroubles: ReadonlySet<unknown> = new Set(['EIO', 'EACCES', 'EPERM'])

/** What `read` gives, or what is wrong with the object. Throws what is not about the object. */
export async function readOrProblem<Content>(
  read: () => Promise<Content>,
): Promise<{ readonly content: Content } | { readonly problem: string }> {
  try {
    return { content: await read() }
  } catch (error) {
    const problem = objectProblem(error)
    if (problem === undefined) throw error
    return { problem }
  }
}
