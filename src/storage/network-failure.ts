import type { StoreFailure } from './call-with-retry.ts'

/** What is asked over the network, for the messages. */
export interface AskedPlace {
  /** As the configuration has it; undefined: the usual one of its kind. */
  readonly endpoint: string | undefined
  /** The settings of the repo that say how the store is reached: `s3`. */
  readonly section: string
  /** What to look at when the name is not resolved. */
  readonly nameHint: string
  /** What to do when the certificate is for another host. */
  readonly hostHint: string
}

type Verdict = Pick<StoreFailure, 'code' | 'isTransient' | 'found' | 'hint'>

/** Judges the system's name for a failure of the network or of TLS. Undefined: it is no such name. */
export function judgeNetwork(name: string, asked: AskedPlace): Verdict | undefined {
  const place = asked.endpoint === undefined ? '' : ` at "${asked.endpoint}"`
  switch (name) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return {
        ...lost(`the name of the store${place} was not resolved (${name})`),
        hint: asked.nameHint,
      }
    case 'ECONNREFUSED':
      return {
        ...lost(`nothing listens${place} (ECONNREFUSED)`),
        hint: `Check that the store runs, and the port of ${asked.section}.endpoint.`,
      }
    case 'TimeoutError':
      return lost(`the store${place} did not answer in time`)
    default:
      return judgeTls(name, asked) ?? lostConnection(name)
  }
}

/** How long an answer asks to be left alone: seconds or a date, as RFC 9110 has it. 0: it does not say. */
export function retryAfterMs(header: string | undefined, nowMs: number): number {
  if (header === undefined) return 0
  const seconds = /^\d{1,6}$/.test(header) ? Number(header) : (Date.parse(header) - nowMs) / 1000
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : 0
}

const lost = (found: string): Verdict => ({
  code: 'store-unreachable',
  isTransient: true,
  found,
  hint: 'Check the network between this machine and the store, and whether the store runs.',
})

function lostConnection(name: string): Verdict | undefined {
  return lostConnections.has(name) || name.startsWith('HPE_')
    ? lost(`the connection to the store was lost (${name})`)
    : undefined
}

const lostConnections: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'ERR_STREAM_PREMATURE_CLOSE',
])

function judgeTls(name: string, { section, hostHint }: AskedPlace): Verdict | undefined {
  const authorityHint = `Set ${section}.ca-file of the repo to the certificate authority of the store; certificates are always checked.`
  if (unknownAuthorities.has(name)) {
    return refused('the certificate of the store is from an unknown authority', authorityHint)
  }
  if (name === 'EPROTO' || name.startsWith('ERR_SSL_')) {
    return refused(
      `the store does not speak TLS as it should (${name})`,
      `Check the port of ${section}.endpoint: it must be the one for https.`,
    )
  }
  switch (name) {
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return refused('the certificate of the store is self-signed', authorityHint)
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return refused('the certificate of the store is for another host name', hostHint)
    case 'CERT_HAS_EXPIRED':
      return refused(
        'the certificate of the store has expired',
        'Renew the certificate of the store; when it is valid, set the clock of this machine.',
      )
    case 'CERT_NOT_YET_VALID':
      return refused(
        'the certificate of the store is not valid yet',
        'Set the clock of this machine; when it is right, look at the certificate of the store.',
      )
    default:
      return undefined
  }
}

const refused = (found: string, hint: string): Verdict => ({
  code: 'store-unreachable',
  isTransient: false,
  found,
  hint,
})

const unknownAuthorities: ReadonlySet<string> = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_GET_ISSUER_CERT',
])
