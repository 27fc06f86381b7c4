import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { connectPlainly } from './s3-buckets.ts'
import type { S3Server } from './s3-server.ts'

/**
 * Stands before a server that takes no notice of `If-None-Match: *` in buckets with versions, as Ceph 16.2 does (AWS does,
 * and so does Ceph since ceph/ceph#63348): answers 412 while the key has an object, one write of a key after the other.
 * Everything else is the server's own answer.
 */
export async function startConditionalGateway(
  server: Pick<S3Server, 'endpoint' | 'accessKeyId' | 'secretAccessKey'>,
): Promise<{ readonly endpoint: string } & AsyncDisposable> {
  const client = connectPlainly(server)
  const writes = new Map<string, Promise<void>>()
  const answer = async (asked: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = new URL(asked.url ?? '/', server.endpoint).pathname
    if (asked.method !== 'PUT' || asked.headers['if-none-match'] !== '*')
      return passOn(server, asked, response)
    const before = writes.get(path)
    const write = (before ?? Promise.resolve()).then(async () =>
      (await isTaken(client, path)) ? refuse(asked, response) : passOn(server, asked, response),
    )
    writes.set(path, write)
    await write
    if (writes.get(path) === write) writes.delete(path)
  }
  const gateway = createServer((asked, response) => {
    answer(asked, response).catch(() => response.destroy())
  })
  gateway.listen(0, '127.0.0.1')
  await once(gateway, 'listening')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a server that listens on TCP has a port
  const { port } = gateway.address() as AddressInfo
  return {
    endpoint: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      client.destroy()
      gateway.closeAllConnections()
      gateway.close()
      await once(gateway, 'close')
    },
  }
}

async function isTaken(client: S3Client, path: string): Promise<boolean> {
  const [, bucket = '', ...key] = path.split('/')
  try {
    await client.send(new HeadObjectCommand({ Bucket: bucket, Key: decodeURIComponent(key.join('/')) }))
    return true
  } catch (error) {
    if (error instanceof Error && error.name === 'NotFound') return false
    throw error
  }
}

async function refuse(asked: IncomingMessage, response: ServerResponse): Promise<void> {
  asked.resume()
  await once(asked, 'end')
  response.writeHead(412, { 'content-type': 'application/xml' })
  response.end('<?xml version="1.0"?><Error><Code>PreconditionFailed</Code></Error>')
  await once(response, 'close')
}

/** With its own host name: the signature covers it. */
async function passOn(
  { endpoint }: Pick<S3Server, 'endpoint'>,
  asked: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { hostname, port } = new URL(endpoint)
  const { method, url: path, headers } = asked
  const passed = request({ hostname, port, method, path, headers })
  asked.pipe(passed)
  const [found] = (await once(passed, 'response')) as [IncomingMessage]
  response.writeHead(found.statusCode ?? 500, found.headers)
  found.pipe(response)
  await once(response, 'close')
}
