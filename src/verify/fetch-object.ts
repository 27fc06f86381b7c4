import type { RunContext } from '../domain/run-context.ts'
import type { Repository } from '../repository/open-repository.ts'
import { readOrProblem } from './object-problem.ts'

/** An object that was read, is not there, or cannot be read. */
export type FetchedObject =
  | { readonly kind: 'found'; readonly key: string; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'absent'; readonly key: string }
  | { readonly kind: 'unreadable'; readonly key: string; readonly problem: string }

/**
 * Reads an object. Throws when the store does not answer. Objects are not read ahead: while one worker waits for its next
 * one the others work, and reading ahead cost 17 MB for each worker and gained nothing (November 2026).
 */
export async function fetchObject(
  { store }: Repository,
  key: string,
  context: RunContext,
): Promise<FetchedObject> {
  const read = await readOrProblem(() => store.get(key, undefined, context))
  if ('problem' in read) return { kind: 'unreadable', key, problem: read.problem }
  return read.content === undefined ? { kind: 'absent', key } : { kind: 'found', key, bytes: read.content }
}
