/** Where a repository lies on an SFTP server. */
export interface SftpLocation {
  readonly user: string
  readonly host: string
  readonly port: number
  /** Absolute, without a slash at the end, as the server's user sees it. */
  readonly path: string
}

export const defaultSftpPort = 22

/** `sftp:user@host/path`, with the port when it is another one. */
export function formatSftpLocation({ user, host, port, path }: SftpLocation): string {
  return `sftp:${user}@${formatHost(host)}${port === defaultSftpPort ? '' : `:${port}`}${path}`
}

/** An address of IPv6 in brackets. */
function formatHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** How the user proves who it is. Files are read again for each connection. */
export type SftpLogin =
  | { readonly kind: 'private-key'; readonly read: () => Promise<SftpPrivateKey> }
  | { readonly kind: 'agent'; readonly socketPath: string }
  | { readonly kind: 'password'; readonly read: () => Promise<string> }

interface SftpPrivateKey {
  readonly content: Buffer
  readonly passphrase?: string | undefined
}

/** How the server proves who it is. Neither of the two: it cannot, and is refused. */
export interface SftpHostTrust {
  /** `SHA256:...` as OpenSSH prints fingerprints. */
  readonly fingerprint?: string | undefined
  /** What stands in a file of the form of OpenSSH's known_hosts. */
  readonly knownHosts?: string | undefined
}

export interface SftpStoreOptions {
  readonly login: SftpLogin
  readonly trust: SftpHostTrust
  /** How many calls are under way at once at most. */
  readonly maxRequests: number
  /** A server that is silent for so long while it owes an answer is given up. */
  readonly idleTimeoutMs: number
  /** How long one call tries before it fails. */
  readonly callTimeoutMs: number
}
