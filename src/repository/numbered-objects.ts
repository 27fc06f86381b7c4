import type { RunContext } from '../domain/run-context.ts'
import type { Repository } from './open-repository.ts'

const writtenNumber = /^\d{10}$/

/** The numbers of the objects that stand directly under a prefix with ten digits for a name, ascending; others are passed over. */
export async function listNumbers(
  { store }: Repository,
  prefix: string,
  context: RunContext,
): Promise<readonly number[]> {
  const numbers: number[] = []
  for await (const { key } of store.list(prefix, context)) {
    const name = key.slice(prefix.length)
    if (writtenNumber.test(name)) numbers.push(Number(name))
  }
  return numbers
}
