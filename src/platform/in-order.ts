import type { RunContext } from '../domain/run-context.ts'

interface InOrderOptions {
  /** How many are worked on at a time. */
  readonly limit: number
  readonly context: RunContext
}

/**
 * Works on several at a time and gives the results in the order of what there was to do, which may itself come bit by bit. Whoever stops listening, and
 * the first failure, end what has begun: nothing goes on afterwards.
 */
export async function* inOrder<Task, Result>(
  tasks: Iterable<Task> | AsyncIterable<Task>,
  { limit, context }: InOrderOptions,
  work: (task: Task, context: RunContext) => Promise<Result>,
): AsyncGenerator<Result, void> {
  const ended = new AbortController()
  const signal = AbortSignal.any([context.signal, ended.signal])
  const begun: Promise<Result>[] = []
  const begin = (task: Task): void => {
    const result = work(task, { ...context, signal })
    // Whoever takes it hears of its failure; until then it is not unhandled.
    result.catch(() => undefined)
    begun.push(result)
  }
  try {
    for await (const task of tasks) {
      begin(task)
      if (begun.length < limit) continue
      const first = begun.shift()
      if (first !== undefined) yield await first
    }
    for (let next = begun.shift(); next !== undefined; next = begun.shift()) yield await next
  } finally {
    ended.abort()
    await Promise.allSettled(begun)
  }
}
