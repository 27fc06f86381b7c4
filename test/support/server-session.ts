import { Client, DatabaseError, TypeOverrides } from 'pg'
import type { ClientConfig } from 'pg'

/** A connected client that ends when it goes out of scope. Losing the connection makes only its queries fail. */
export type Session = Client & AsyncDisposable

/** date, timestamp, timestamptz stay text: a JavaScript Date would lose the microseconds. */
export const textualTimes = new TypeOverrides()
for (const type of [1082, 1114, 1184]) textualTimes.setTypeParser(type, 'text', String)

export async function openSession(config: ClientConfig): Promise<Session> {
  const client = new Client(config)
  client.on('error', () => undefined)
  try {
    await client.connect()
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() })
}

const lostConnection: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '53300', // too_many_connections: those of a killed server linger for a moment
])

/** Whether the server went away or is not there yet, as opposed to refusing what we asked for. */
export function isConnectionLoss(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if ('code' in error && typeof error.code === 'string' && lostConnection.has(error.code)) return true
  return (
    !(error instanceof DatabaseError) &&
    /^connection terminated|not queryable|was closed/i.test(error.message)
  )
}
