import type { z } from 'zod'

interface SftpSettings {
  readonly 'host-key'?: string | undefined
  readonly 'known-hosts-file'?: string | undefined
  readonly 'private-key-file'?: string | undefined
  readonly 'private-key-passphrase-file'?: string | undefined
  readonly 'agent-socket'?: string | undefined
  readonly 'password-file'?: string | undefined
}

/** Reports a login that is missing or told twice, and two ways to know the server. Without any the server is asked, and refused with the key that it shows. */
export function checkSftpAccess(settings: SftpSettings, context: z.core.$RefinementCtx): void {
  const report = (message: string, found: string): void =>
    context.addIssue({ code: 'custom', message, params: { found } })
  const logins = [settings['private-key-file'], settings['agent-socket'], settings['password-file']]
  const count = logins.filter((login) => login !== undefined).length
  if (count !== 1) {
    report(
      'exactly one of private-key-file, agent-socket and password-file',
      count === 0 ? 'none' : 'several',
    )
  }
  if (settings['private-key-passphrase-file'] !== undefined && settings['private-key-file'] === undefined) {
    report('private-key-file with private-key-passphrase-file', 'only the latter')
  }
  if (settings['host-key'] !== undefined && settings['known-hosts-file'] !== undefined) {
    report('either host-key or known-hosts-file', 'both')
  }
}
