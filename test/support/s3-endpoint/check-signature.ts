import { createHash, createHmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

export interface EndpointKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** Why a request is refused, in the words of S3; undefined: its signature (version 4) and the digest of its body are right. */
export function signatureFault(
  request: IncomingMessage,
  body: Buffer,
  keys: EndpointKeys,
): 'AccessDenied' | 'InvalidAccessKeyId' | 'SignatureDoesNotMatch' | 'XAmzContentSHA256Mismatch' | undefined {
  const pattern =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8}\/[^/]+\/s3\/aws4_request), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/
  const [, id, scope = '', signed = '', signature] = pattern.exec(header(request, 'authorization')) ?? []
  if (id === undefined) return 'AccessDenied'
  if (id !== keys.accessKeyId) return 'InvalidAccessKeyId'
  const digest = header(request, 'x-amz-content-sha256')
  if (digest !== hash(body)) return 'XAmzContentSHA256Mismatch'
  const url = new URL(request.url ?? '', 'http://host')
  const query = [...url.searchParams]
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .toSorted()
    .join('&')
  const headers = signed.split(';').map((name) => `${name}:${header(request, name).trim()}\n`)
  const canonical = [request.method, url.pathname, query, headers.join(''), signed, digest].join('\n')
  const text = ['AWS4-HMAC-SHA256', header(request, 'x-amz-date'), scope, hash(canonical)].join('\n')
  const key = scope
    .split('/')
    .reduce<string | Buffer>((from, part) => hmac(from, part), `AWS4${keys.secretAccessKey}`)
  return hmac(key, text).toString('hex') === signature ? undefined : 'SignatureDoesNotMatch'
}

function header(request: IncomingMessage, name: string): string {
  return String(request.headers[name] ?? '')
}

function hash(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
