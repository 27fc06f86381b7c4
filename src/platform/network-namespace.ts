import { access, constants } from 'node:fs/promises'
import { runProcess } from './child-process.ts'

/** Of util-linux; where every distribution has it, so that no search path can name another one. */
const places = ['/usr/bin/unshare', '/bin/unshare']
/** With the rights for it, or as every user whom the kernel lets have user namespaces. It stays the same user. */
const ways = [['--net'], ['--user', '--map-current-user', '--net']]
const probeTimeoutMs = 10_000

/**
 * What to put before a program and its arguments so that it runs in a network namespace of its own, in which nothing is, not
 * even 127.0.0.1. Unix sockets go on to work: they are paths. The program keeps the process id. Undefined when this machine
 * does not let us.
 */
export async function findNetworkCutter(signal: AbortSignal): Promise<readonly string[] | undefined> {
  for (const unshare of places) {
    if (!(await isExecutable(unshare))) continue
    for (const way of ways) {
      const { exitCode } = await runProcess(unshare, [...way, '/bin/sh', '-c', ':'], {
        signal,
        timeoutMs: probeTimeoutMs,
      })
      if (exitCode === 0) return [unshare, ...way]
    }
    return undefined
  }
  return undefined
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
