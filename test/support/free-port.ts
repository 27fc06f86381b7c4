import { once } from 'node:events'
import { createServer } from 'node:net'

/** Ports of this process that a server may not have bound yet. */
const taken = new Set<number>()

/** A TCP port that nothing listens on and that this process has not given away before. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('a TCP server without an address')
  if (taken.has(address.port)) return freePort()
  taken.add(address.port)
  return address.port
}
