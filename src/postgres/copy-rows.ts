import { pipeline } from 'node:stream/promises'
import { Transform, type Readable } from 'node:stream'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import type { PostgresSession } from './connection.ts'

interface CopyEnds {
  readonly source: PostgresSession
  /** COPY ... TO STDOUT */
  readonly sourceSql: string
  readonly target: PostgresSession
  /** COPY ... FROM STDIN, in the same format. */
  readonly targetSql: string
}

/** Copies rows from one server to another, as they come. Gives how many bytes and rows. Throws what either server says. */
export async function copyRows(
  { source, sourceSql, target, targetSql }: CopyEnds,
  signal: AbortSignal,
): Promise<{ readonly bytes: number; readonly rows: number }> {
  let bytes = 0
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      done(undefined, chunk)
    },
  })
  const into = target.submit(copyFrom(targetSql))
  await pipeline(source.submit(copyTo(sourceSql)), count, into, { signal })
  return { bytes, rows: into.rowCount }
}

/** Rows as COPY ... TO STDOUT prints them, as they come. `rowCount` is right once the session has answered another query. */
export function readRows(source: PostgresSession, sql: string): Readable & { readonly rowCount: number } {
  return source.submit(copyTo(sql))
}
