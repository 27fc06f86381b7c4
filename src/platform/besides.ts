import type { RunContext } from '../domain/run-context.ts'

interface Besides<Result> {
  readonly other: (context: RunContext) => Promise<void>
  /** May wait for the other one where it needs it. */
  readonly work: (context: RunContext, other: Promise<void>) => Promise<Result>
}

/**
 * Works while something else is done; ends both when either fails, and rejects with what failed first. When it settles, both
 * are over.
 */
export async function besides<Result>(
  { other, work }: Besides<Result>,
  context: RunContext,
): Promise<Result> {
  const failed = new AbortController()
  const both = { ...context, signal: AbortSignal.any([context.signal, failed.signal]) }
  const fail = (error: unknown): never => {
    failed.abort(error) // does nothing the second time
    throw failed.signal.reason
  }
  const beside = other(both).catch(fail)
  const [done, worked] = await Promise.allSettled([beside, work(both, beside).catch(fail)])
  if (done.status === 'rejected') throw done.reason
  if (worked.status === 'rejected') throw worked.reason
  return worked.value
}
