import type { StoreFailure } from './call-with-retry.ts'

/** What is asked over the network, for the messages. */
export interface AskedPlace {
  /** Default: the store. */
  readonly what?: string
  /** As the configuration has it; undefined: the usual one of its kind. */
  readonly endpoint: string | undefined
  /** The settings of the repo that say how the store is reached: `s3`. */
  readonly section: string
  /** The setting of this section that has its address. Default: `endpoint`. */
  readonly addressSetting?: string
  /** What to look at when the name is not resolved. */
  readonly nameHint: string
  /** What to do when the certificate is for another host. */
  readonly hostHint: string
}

const usualPlace = 'the store'

const addressOf = ({ section, addressSetting = 'endpoint' }: AskedPlace): string =>
  `${section}.${addressSetting}`

type Verdict = Pick<StoreFailure, 'code' | 'isTransient' | 'found' | 'hint'>

/** Judges the system's name for a failure of the network or of TLS. Undefined: it is no such name. */
export function judgeNetwork(name: string, asked: AskedPlace): Verdict | undefined {
  const { what = usualPlace } = asked
  const place = asked.endpoint === undefined ? '' : ` at "${asked.endpoint}"`
  switch (name) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return {
        ...lost(`the name of ${what}${place} was not resolved (${name})`, what),
        hint: asked.nameHint,
      }
    case 'ECONNREFUSED':
      return {
        ...lost(`nothing listens where ${what} should be${place} (ECONNREFUSED)`, what),
        hint: `Check that ${what} runs, and its port in ${addressOf(asked)}.`,
      }
    case 'TimeoutError':
      return lost(`${what}${place} did not answer in time`, what)
    default:
      return judgeTls(name, asked) ?? lostConnection(name, what)
  }
}

/** How long an answer asks to be left alone: seconds or a date, as RFC 9110 has it. 0: it does not say. */
export function retryAfterMs(header: string | undefined, nowMs: number): number {
  if (header === undefined) return 0
  const seconds = /^\d{1,6}$/.test(header) ? Number(header) : (Date.parse(header) - nowMs) / 1000
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : 0
}

const lost = (found: string, what: string): Verdict => ({
  code: 'store-unreachable',
  isTransient: true,
  found,
  hint: `Check the network between this machine and ${what}, and whether ${what} runs.`,
})

function lostConnection(name: string, what: string): Verdict | undefined {
  return lostConnections.has(name) || name.startsWith('HPE_')
    ? lost(`the connection to ${what} was lost (${name})`, what)
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

function judgeTls(name: string, asked: AskedPlace): Verdict | undefined {
  const { what = usualPlace, section, hostHint } = asked
  const authorityHint = `Set ${section}.ca-file of the repo to the certificate authority of ${what}; certificates are always checked.`
  if (unknownAuthorities.has(name)) {
    return refused(`the certificate of ${what} is from an unknown authority`, authorityHint)
  }
  if (name === 'EPROTO' || name.startsWith('ERR_SSL_')) {
    return refused(
      `${what} does not speak TLS as it should (${name})`,
      `Check the port in ${addressOf(asked)}: it must be the one for https.`,
    )
  }
  switch (name) {
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return refused(`the certificate of ${what} is self-signed`, authorityHint)
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return refused(`the certificate of ${what} is for another host name`, hostHint)
    case 'CERT_HAS_EXPIRED':
      return refused(
        `the certificate of ${what} has expired`,
        `Renew the certificate of ${what}; when it is valid, set the clock of this machine.`,
      )
    case 'CERT_NOT_YET_VALID':
      return refused(
        `the certificate of ${what} is not valid yet`,
        `Set the clock of this machine; when it is right, look at the certificate of ${what}.`,
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
