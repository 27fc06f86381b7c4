import { isIP } from 'node:net'
import type { z } from 'zod'

interface S3Settings {
  readonly 'access-key-id'?: string | undefined
  readonly 'secret-key-file'?: string | undefined
  readonly 'session-token-file'?: string | undefined
  readonly profile?: string | undefined
  readonly 'server-side-encryption'?: string | undefined
  readonly 'kms-key-id'?: string | undefined
  readonly 'retention-days'?: number | undefined
  readonly 'retention-mode'?: string | undefined
}

/**
 * True for `https://host` and `https://host:port`, without anything behind it or a user in it. Without TLS only to this machine: the
 * objects are sealed, but whoever sits in between could leave some out.
 */
export function isEndpoint(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, username, password, pathname, search, hash } = new URL(text)
  if (username + password + search + hash !== '' || pathname !== '/') return false
  return protocol === 'https:' || (protocol === 'http:' && isThisMachine(hostname))
}

function isThisMachine(hostname: string): boolean {
  return (
    hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'))
  )
}

/** Reports settings of which a part is missing, or that are there twice. */
export function checkS3Access(settings: S3Settings, context: z.core.$RefinementCtx): void {
  const id = settings['access-key-id'] !== undefined
  const secret = settings['secret-key-file'] !== undefined
  if (id !== secret) {
    report(context, 'both of access-key-id and secret-key-file, or neither', 'one of them')
  }
  if (settings['session-token-file'] !== undefined && !secret) {
    report(context, 'access-key-id and secret-key-file with session-token-file', 'only the latter')
  }
  if (settings.profile !== undefined && id) {
    report(context, 'either access-key-id or profile', 'both')
  }
  if (settings['kms-key-id'] !== undefined && settings['server-side-encryption'] !== 'aws:kms') {
    report(context, 'server-side-encryption: aws:kms with kms-key-id', 'kms-key-id alone')
  }
  if (settings['retention-mode'] !== undefined && settings['retention-days'] === undefined) {
    report(context, 'retention-days with retention-mode', 'retention-mode alone')
  }
}

function report(context: z.core.$RefinementCtx, message: string, found: string): void {
  context.addIssue({ code: 'custom', message, params: { found } })
}
