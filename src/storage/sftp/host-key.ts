import { createHash, createHmac } from 'node:crypto'
import { defaultSftpPort, type SftpHostTrust, type SftpLocation } from './sftp-options.ts'

/** What the key that a server has shown means. */
export interface HostKeyVerdict {
  /** 'unpinned': nothing says which key to expect. */
  readonly kind: 'trusted' | 'unpinned' | 'unknown' | 'changed' | 'revoked'
  /** `SHA256:...` of the key that was shown. */
  readonly fingerprint: string
  /** Such as `ssh-ed25519`. */
  readonly type: string
}

type Host = Pick<SftpLocation, 'host' | 'port'>

/** Judges the key, in the form of the wire (RFC 4253, 6.6), that the server of `place` has shown. */
export function judgeHostKey(key: Uint8Array, trust: SftpHostTrust, place: Host): HostKeyVerdict {
  const shown = { fingerprint: fingerprintOf(key), type: typeOf(key) }
  return { kind: kindOf(key, shown, { trust, place }), ...shown }
}

/**
 * The kinds of host key that are asked for, the best first: those that known_hosts has come before the others, so that a
 * server with several keys shows the one that is known. No SHA-1, no DSA.
 */
export function hostKeyAlgorithms({ knownHosts = '' }: SftpHostTrust, place: Host): readonly string[] {
  const known = new Set(entriesFor(place, parseKnownHosts(knownHosts)).map(({ key }) => typeOf(key)))
  const ranked = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', rsa]
  return [...ranked.filter((type) => known.has(type)), ...ranked.filter((type) => !known.has(type))].flatMap(
    (type) => (type === rsa ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]),
  )
}

const rsa = 'ssh-rsa'

interface KnownHost {
  readonly marker: string | undefined
  readonly patterns: string
  readonly key: Buffer
}

function kindOf(
  key: Uint8Array,
  { fingerprint }: { readonly fingerprint: string },
  { trust, place }: { readonly trust: SftpHostTrust; readonly place: Host },
): HostKeyVerdict['kind'] {
  const entries = parseKnownHosts(trust.knownHosts ?? '')
  const isRevoked = entries.some(({ marker, key: other }) => marker === '@revoked' && other.equals(key))
  if (isRevoked) return 'revoked'
  if (trust.fingerprint !== undefined) return trust.fingerprint === fingerprint ? 'trusted' : 'changed'
  if (trust.knownHosts === undefined) return 'unpinned'
  const known = entriesFor(place, entries)
  if (known.some((entry) => entry.key.equals(key))) return 'trusted'
  return known.length === 0 ? 'unknown' : 'changed'
}

function entriesFor(place: Host, entries: readonly KnownHost[]): KnownHost[] {
  const name = place.port === defaultSftpPort ? place.host : `[${place.host}]:${place.port}`
  return entries.filter(
    ({ marker, patterns }) => marker === undefined && isNamed(name.toLowerCase(), patterns),
  )
}

/** Lines that cannot be read name no host: whoever meant one will be told that it is unknown. */
function parseKnownHosts(text: string): KnownHost[] {
  return text.split('\n').flatMap((line) => {
    const words = line.trim().split(/\s+/)
    const marker = words[0]?.startsWith('@') === true ? words.shift() : undefined
    const [patterns = '', type = '', key = ''] = words
    if (patterns.startsWith('#') || type === '' || key === '') return []
    return [{ marker, patterns, key: Buffer.from(key, 'base64') }]
  })
}

/** sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". */
function isNamed(name: string, patterns: string): boolean {
  if (patterns.startsWith('|1|')) return isHashed(name, patterns)
  const matching = patterns
    .toLowerCase()
    .split(',')
    .filter((pattern) => matches(name, pattern.replace(/^!/, '')))
  return matching.length > 0 && !matching.some((pattern) => pattern.startsWith('!'))
}

function isHashed(name: string, hashed: string): boolean {
  const [, , salt = '', digest = ''] = hashed.split('|')
  return createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === digest
}

/** `*` and `?` as in a shell. A star that is followed by another adds nothing, and costs time. */
function matches(name: string, pattern: string): boolean {
  const source = pattern
    .replaceAll(/\*+/g, '*')
    .replaceAll(/[^*?]/g, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${source}$`, 'u').test(name)
}

function fingerprintOf(key: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
}

/** The first string of the key; what cannot be a name is not shown. */
function typeOf(key: Uint8Array): string {
  const buffer = Buffer.from(key)
  const length = buffer.length >= 4 ? buffer.readUInt32BE(0) : 0
  const type = buffer.toString('latin1', 4, 4 + length)
  return /^[a-z0-9@.-]{1,64}$/.test(type) ? type : 'of an unknown kind'
}
