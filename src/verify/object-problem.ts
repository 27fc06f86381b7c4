import { isOperationError, type OperationErrorCode } from '../domain/operation-error.ts'
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
 * medium that cannot read some sectors (EIO) is about the object: others may be read all the same.
 */
export function objectProblem(error: unknown): string | undefined {
  if (!isOperationError(error)) return undefined
  if (notAboutObjects.has(error.code) && !isUnreadable(error.cause)) return undefined
  return error.message
}

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

function isUnreadable(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'EIO'
}
