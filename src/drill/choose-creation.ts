import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readCreation } from '../logical/read-creation.ts'
import { connect } from '../postgres/connection.ts'
import { serverWords } from '../postgres/server-error.ts'
import { quoteIdentifier } from '../postgres/quote-sql.ts'
import type { DrilledLoad } from './load-drilled.ts'

export interface ChosenCreation {
  readonly creation: string | undefined
  /** Why it is not made as the dumped one was. */
  readonly problem: string | undefined
}

const trial = 'holdfast_trial'

/**
 * How to make the database that a dump is loaded into: as the dumped one was, when the dump says how and this machine has its
 * locale; else as the server makes databases. Throws what `read` throws.
 */
export async function chooseCreation(
  { server, programs, format, read, spooling }: Omit<DrilledLoad, 'creation'>,
  context: RunContext,
): Promise<ChosenCreation> {
  if (format === 'plain') return { creation: undefined, problem: undefined }
  const spoolParent = format === 'directory' ? spooling.parent : undefined
  const creation = await readCreation({ programs, chunks: read(), spoolParent }, context)
  if (creation === undefined) return { creation, problem: undefined }
  await using session = await connect(server.conninfo, context)
  try {
    await session.query(`create database ${quoteIdentifier(trial)} ${creation}`)
  } catch (error) {
    if (!isOperationError(error) || session.lost.aborted) throw error
    return { creation: undefined, problem: serverWords(error) }
  }
  await session.query(`drop database ${quoteIdentifier(trial)}`)
  return { creation, problem: undefined }
}
