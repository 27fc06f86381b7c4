import { createServer, connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

/** Of a request; longer ones are not answered. */
const mostRequestBytes = 64 * 1024
const requestTimeoutMs = 10_000

/**
 * Answers requests on a Unix socket, one line of text each, one after the other in the order in which they come. Whoever may
 * enter its directory may ask. Disposing it takes no more and waits for those that it has taken.
 */
export async function serveRequests(
  path: string,
  answer: (request: string) => Promise<string>,
): Promise<AsyncDisposable> {
  let last: Promise<void> = Promise.resolve()
  const take = async (socket: Socket): Promise<void> => {
    const request = await readLine(socket)
    socket.setTimeout(0) // the answer may take long
    const turn = last
    const answered = async (): Promise<void> => {
      await turn
      if (request === undefined) socket.destroy()
      else socket.end(await answer(request))
    }
    last = answered()
    await last
  }
  const server = createServer((socket) => {
    // Who asks may go away before the answer.
    socket.on('error', () => socket.destroy())
    socket.setTimeout(requestTimeoutMs, () => socket.destroy())
    void take(socket)
  })
  server.listen(path)
  await once(server, 'listening')
  return {
    async [Symbol.asyncDispose]() {
      server.close()
      await last
    },
  }
}

/** Asks, and gives the answer. Undefined when nobody serves there, or whoever served went away without an answer. */
export async function sendRequest(
  path: string,
  request: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  signal.throwIfAborted()
  const socket = connect(path)
  // Whatever goes wrong shows where it is waited for.
  socket.on('error', () => undefined)
  const abort = (): void => void socket.destroy(new Error('nobody waits for the answer'))
  signal.addEventListener('abort', abort)
  try {
    await once(socket, 'connect', { signal })
    socket.write(`${request}\n`)
    const found = await text(socket)
    return found === '' ? undefined : found
  } catch {
    signal.throwIfAborted()
    return undefined
  } finally {
    signal.removeEventListener('abort', abort)
    socket.destroy()
  }
}

/** Undefined: there was none. */
async function readLine(socket: Socket): Promise<string | undefined> {
  let read = ''
  try {
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      read += String(chunk)
      if (read.length > mostRequestBytes) return undefined
      const end = read.indexOf('\n')
      if (end >= 0) return read.slice(0, end)
    }
  } catch {
    return undefined
  }
  return undefined
}
