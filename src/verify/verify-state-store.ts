import { listNumbers } from '../repository/numbered-objects.ts'
import { largestRawLength } from '../codec/compression.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { verifyKey, verifyPrefix } from '../repository/object-keys.ts'
import type { Repository } from '../repository/open-repository.ts'
import { openObject, writeObject } from '../repository/sealed-store.ts'
import { tidyAway } from '../repository/tidy-away.ts'
import { readOrProblem } from './object-problem.ts'
import { decodeVerifyState, encodeVerifyState, type VerifyState } from './verify-state.ts'

const mostAttempts = 20

/**
 * What the newest run of verify has written down about a cluster; undefined when nothing was ever verified. A state that
 * cannot be read is passed over for the one before it, with a warning: it is a memory, and what it remembers can be found
 * again. Throws `format-newer` only for a state that opens and says so itself: a header may have been overwritten.
 */
export async function readVerifyState(
  repository: Repository,
  clusterId: string,
  context: RunContext,
): Promise<VerifyState | undefined> {
  const numbers = await listNumbers(repository, verifyPrefix(clusterId), context)
  for (const number of numbers.toReversed()) {
    const key = verifyKey(clusterId, number)
    const read = await readState(repository, key, context)
    if (read === undefined) continue
    if ('state' in read) return read.state
    context.report({
      kind: 'warning',
      message: `what verify knew is passed over: ${read.problem}`,
      hint: 'Run "holdfast verify" again.',
    })
  }
  return undefined
}

/** Undefined: it has gone. */
async function readState(
  repository: Repository,
  key: string,
  context: RunContext,
): Promise<{ readonly state: VerifyState } | { readonly problem: string } | undefined> {
  const opened = await readOrProblem(async () => {
    const sealed = await repository.store.get(key, undefined, context)
    return sealed && openObject(repository, { kind: 'verify-state', key }, sealed)
  })
  if ('problem' in opened) return opened
  if (opened.content === undefined) return undefined
  try {
    return { state: decodeVerifyState(opened.content, key) }
  } catch (error) {
    if (!isOperationError(error, 'damaged')) throw error
    return { problem: error.message }
  }
}

/** Stores the state under the next number, then removes the older ones but the one before it. */
export async function writeVerifyState(
  repository: Repository,
  { clusterId, state }: { readonly clusterId: string; readonly state: VerifyState },
  context: RunContext,
): Promise<void> {
  const payload = encodeVerifyState(state)
  if (payload.length > largestRawLength)
    throw new OperationError(
      'store-failed',
      `writing the verify state: it would have ${payload.length} bytes`,
    )
  for (let attempt = 0; attempt < mostAttempts; attempt += 1) {
    const numbers = await listNumbers(repository, verifyPrefix(clusterId), context)
    const key = verifyKey(clusterId, (numbers.at(-1) ?? 0) + 1 + attempt)
    const answer = await writeObject(repository, { name: { kind: 'verify-state', key }, payload }, context)
    if (answer === 'exists') continue // a listing that lags
    const old = numbers.slice(0, -1).map((number) => verifyKey(clusterId, number))
    await tidyAway(repository, old, context)
    return
  }
  throw new Error(`the verify state of cluster ${clusterId} found no free number`)
}
