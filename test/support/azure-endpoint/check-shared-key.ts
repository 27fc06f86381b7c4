import { createHmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

const signedHeaders = [
  'content-encoding',
  'content-language',
  'content-length',
  'content-md5',
  'content-type',
  'date',
  'if-modified-since',
  'if-match',
  'if-none-match',
  'if-unmodified-since',
  'range',
]

/** Whether a request is signed with the key of the account ("Authorize with Shared Key", learn.microsoft.com). */
export function isSharedKeyRight(
  request: IncomingMessage,
  { account, accountKey }: { readonly account: string; readonly accountKey: string },
): boolean {
  const { headers, method, url = '' } = request
  const { pathname, searchParams } = new URL(url, 'http://host')
  const canonicalHeaders = Object.entries(headers)
    .filter(([name]) => name.startsWith('x-ms-'))
    .map(([name, value]) => `${name}:${String(value)}`)
    .toSorted()
  const parameters = [...searchParams].map(([name, value]) => `${name}:${value}`).toSorted()
  const text = [
    method,
    ...signedHeaders.map((name) => (headers[name] === '0' ? '' : (headers[name] ?? ''))),
    ...canonicalHeaders,
    `/${account}${pathname}`,
    ...parameters,
  ].join('\n')
  const signature = createHmac('sha256', Buffer.from(accountKey, 'base64')).update(text).digest('base64')
  return headers.authorization === `SharedKey ${account}:${signature}`
}
