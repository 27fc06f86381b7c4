import type { RunContext } from '../domain/run-context.ts'
import { runProcess } from '../platform/child-process.ts'
import type { ClientPrograms } from './client-programs.ts'

/** The first whose pg_dump knows other methods than zlib. */
const firstWithMethods = 16
const timeoutMs = 10_000

/**
 * Whether pg_dump can compress by zstd, which it must have been built with. Nothing lists that, so it is asked for a dump of a
 * server that cannot be there: it refuses a method that it lacks before it connects.
 */
export async function canCompressByZstd(
  { pgDump, major }: Pick<ClientPrograms, 'pgDump' | 'major'>,
  { signal }: Pick<RunContext, 'signal'>,
): Promise<boolean> {
  if (major < firstWithMethods) return false
  const args = [
    '--format=custom',
    '--compress=zstd:1',
    '--no-password',
    '--dbname=postgresql://%2Fnonexistent/',
  ]
  const { stderr } = await runProcess(pgDump, args, { signal, timeoutMs, env: { LC_ALL: 'C' } })
  return stderr.includes('connection to server')
}
