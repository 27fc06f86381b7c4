import { OperationError } from '../domain/operation-error.ts'
import { gather } from '../platform/gather.ts'
import type { PipedProcess } from '../platform/piped-process.ts'
import { DumpEnds } from './dump-ends.ts'
import type { StreamFormat } from './dump-selection.ts'
import { lastLines } from './last-lines.ts'

/** What a program of pg_dump's family writes; each piece may be read until the next is asked for. Throws `dump-failed` at its end unless it is a whole dump. */
export async function* wholeOutput(
  program: PipedProcess,
  { format, what }: { readonly format: StreamFormat; readonly what: string },
): AsyncGenerator<Uint8Array, void> {
  const ends = new DumpEnds(format)
  for await (const chunk of gather(program.output)) {
    ends.add(chunk)
    yield chunk
  }
  const { exitCode, killedBy, stderr } = await program.ended
  const fault =
    exitCode === 0 ? ends.fault() : `the program ended with ${exitCode ?? killedBy}: ${lastLines(stderr)}`
  if (fault !== undefined) throw new OperationError('dump-failed', `${what}: ${fault}`)
}
