import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** What becomes of a connection at a moment of it. */
export interface ProxyFault {
  /** Whose bytes are counted, from the planning on: what the client sends, or what the server does. */
  readonly side: 'requests' | 'answers'
  /** So many pass. What comes next is lost. */
  readonly afterBytes: number
  /** 'cut': both sides see the end. 'stall': both stay open, and nothing passes any more. */
  readonly kind: 'cut' | 'stall'
}

/** How the line is. */
export interface ProxyLine {
  readonly delayMs?: number
  readonly bytesPerSecond?: number
}

/** Between a client and a server on this machine: what networks do to connections, when it is asked to. */
export class TcpProxy implements AsyncDisposable {
  /** Until now. */
  connectionCount = 0
  line: ProxyLine = {}
  /** New connections wait for it. */
  gate: Promise<void> = Promise.resolve()
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #targetPort: number
  #fault: ProxyFault | undefined
  #left = 0

  private constructor(targetPort: number) {
    this.#targetPort = targetPort
    this.#server = createServer({ pauseOnConnect: true }, (client) => void this.#accept(client))
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen')
    return address.port
  }

  /** For one connection: the one to which it happens first. */
  plan(fault: ProxyFault): void {
    this.#fault = fault
    this.#left = fault.afterBytes
  }

  /** Whether what was planned has happened. */
  get hasStruck(): boolean {
    return this.#fault === undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #accept(client: Socket): Promise<void> {
    this.connectionCount += 1
    this.#sockets.add(client)
    await this.gate
    const server = connect({ host: '127.0.0.1', port: this.#targetPort, noDelay: true })
    client.setNoDelay(true)
    const pair = { client, server, isStalled: false }
    this.#forward(pair, 'requests')
    this.#forward(pair, 'answers')
    client.resume()
  }

  #forward(pair: Pair, side: ProxyFault['side']): void {
    const [from, to] = side === 'requests' ? [pair.client, pair.server] : [pair.server, pair.client]
    this.#sockets.add(from)
    let last = Promise.resolve()
    from.on('data', (piece) => {
      if (pair.isStalled) return
      const passing = piece.subarray(0, this.#countPassing(piece, side))
      from.pause()
      last = last.then(() => this.#pass(passing, to))
      last = last.then(() => (passing.length < piece.length ? this.#strike(pair) : void from.resume()))
    })
    from.on('error', () => to.destroy())
    from.on('close', () => {
      this.#sockets.delete(from)
      if (!pair.isStalled) void last.then(() => to.destroy())
    })
  }

  #countPassing({ length }: Buffer, side: ProxyFault['side']): number {
    if (this.#fault?.side !== side) return length
    const passing = Math.min(length, this.#left)
    this.#left -= passing
    return passing
  }

  #strike(pair: Pair): void {
    const kind = this.#fault?.kind
    this.#fault = undefined
    if (kind === 'stall') pair.isStalled = true
    else for (const socket of [pair.client, pair.server]) socket.end()
  }

  async #pass(piece: Buffer, to: Socket): Promise<void> {
    if (piece.length === 0) return
    const { delayMs = 0, bytesPerSecond = Infinity } = this.line
    const waitMs = delayMs + (piece.length / bytesPerSecond) * 1000
    if (waitMs > 0) await sleep(waitMs)
    to.write(piece)
  }
}

interface Pair {
  readonly client: Socket
  readonly server: Socket
  isStalled: boolean
}
