import type { RunContext } from '../domain/run-context.ts'
import type { Repository } from '../repository/open-repository.ts'
import { readOrProblem } from './object-problem.ts'

/** An object that was read, is not there, or cannot be read. */
export type FetchedObject =
  | { readonly kind: 'found'; readonly key: string; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'absent'; readonly key: string }
  | { readonly kind: 'unreadable'; readonly key: string; readonly problem: string }

/** Reads the objects in order, each while the one before it is worked on. Throws when the store does not answer. */
export async function* fetchAhead(
  repository: Repository,
  keys: Iterable<string>,
  context: RunContext,
): AsyncGenerator<FetchedObject> {
  let coming: Promise<Settled> | undefined
  for (const key of keys) {
    const next = settle(fetchObject(repository, key, context))
    if (coming !== undefined) yield (await coming)()
    coming = next
  }
  if (coming !== undefined) yield (await coming)()
}

export async function fetchObject(
  { store }: Repository,
  key: string,
  context: RunContext,
): Promise<FetchedObject> {
  const read = await readOrProblem(() => store.get(key, undefined, context))
  if ('problem' in read) return { kind: 'unreadable', key, problem: read.problem }
  return read.content === undefined ? { kind: 'absent', key } : { kind: 'found', key, bytes: read.content }
}

type Settled = () => FetchedObject

/** A failure is kept until somebody asks for the object: until then nobody listens. */
async function settle(fetching: Promise<FetchedObject>): Promise<Settled> {
  try {
    const fetched = await fetching
    return () => fetched
  } catch (error) {
    return () => {
      throw error
    }
  }
}
