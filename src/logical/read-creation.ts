import type { RunContext } from '../domain/run-context.ts'
import { linesOf } from './lines-of.ts'
import { startOnContents, type ContentsRequest } from './read-contents.ts'

/**
 * How the database of an archive was made: what CREATE DATABASE is told of its encoding and of its locale.
 * Undefined when the archive does not say. Throws what `chunks` throws.
 */
export async function readCreation(
  request: ContentsRequest,
  context: RunContext,
): Promise<string | undefined> {
  const args = ['--create', '--schema-only', '--file=-']
  await using program = await startOnContents(args, request, context)
  for await (const line of linesOf(program.output)) {
    const found = /^CREATE DATABASE .* WITH (TEMPLATE = template0 .*);$/.exec(line)?.[1]
    if (found !== undefined) return fitting(found)
  }
  await program.ended
  return undefined
}

/** Its tablespace may not be there; the provider that servers have by themselves is not known to those before 15. */
const fitting = (options: string): string =>
  options.replace(/ TABLESPACE = (?:"(?:[^"]|"")+"|\S+)/, '').replace(' LOCALE_PROVIDER = libc', '')
