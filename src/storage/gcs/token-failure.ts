import { formatDuration } from '../../domain/duration.ts'
import { AnswerFault } from '../answer-fault.ts'
import { judgeNetwork, retryAfterMs, type AskedPlace } from '../network-failure.ts'
import { StoreRefusal } from './store-refusal.ts'
import type { TokenFault } from './token-fault.ts'
import { brokenHint, codeOf, type Verdict } from './verdict.ts'

/** Token servers take a time that is a few minutes off; what is further off is told as the reason. */
const mostSkewMs = 5 * 60_000

/** Judges why there is no token. The store itself has not answered. */
export function judgeTokenFault(fault: TokenFault, nowMs: number): Verdict {
  const { cause, asked, kind } = fault
  if (cause instanceof AnswerFault) return { isTransient: true, found: cause.message, hint: brokenHint }
  if (cause instanceof StoreRefusal) return judgeRefusal(cause, fault, nowMs)
  const network = judgeNetwork(codeOf(cause), placeOf(fault))
  if (network === undefined) {
    return {
      found: `the credentials of the repo give no token (asked for at "${asked}")`,
      hint: 'Look at what gcs.credentials-file of the repo names: files and addresses must be there.',
    }
  }
  return kind === 'file' ? network : { ...network, hint: instanceHint }
}

const placeOf = ({ asked, kind }: TokenFault): AskedPlace => ({
  what: kind === 'file' ? 'the token server' : 'the metadata server of this machine',
  endpoint: asked,
  section: 'gcs',
  addressSetting: 'credentials-file',
  nameHint: addressHint,
  hostHint: addressHint,
})

const addressHint =
  'Look at what gcs.credentials-file of the repo names, and at the name service of this machine.'

const instanceHint =
  'Set gcs.credentials-file of the repo: without it the service account of the machine is asked for, which only machines of Google have.'

function judgeRefusal(refusal: StoreRefusal, { kind, asked }: TokenFault, nowMs: number): Verdict {
  const { status, reason } = refusal
  const said = `${status}${reason === '' ? '' : `, ${reason}`}`
  if (status === 408 || status === 429 || status >= 500) {
    return {
      isTransient: true,
      isThrottling: status === 429,
      retryAfterMs: retryAfterMs(refusal.headers['retry-after'], nowMs),
      found: `no token could be had from "${asked}" (${said})`,
      hint: 'Wait until it works again.',
    }
  }
  if (kind === 'instance')
    return { found: `this machine has no service account (${said})`, hint: instanceHint }
  return (
    skewed(refusal, nowMs) ?? {
      ...refusedVerdict(reason),
      found: `${refusedVerdict(reason).found} (${said})`,
    }
  )
}

function refusedVerdict(reason: string): Verdict {
  if (reason === 'invalid_grant') {
    return {
      found: 'the key of the credentials is not valid any more, or never was',
      hint: 'Make a new key for the account, put its file where gcs.credentials-file says, and see that the account is not disabled.',
    }
  }
  return {
    found: 'the credentials are refused',
    hint: 'Get the file of gcs.credentials-file again as docs/gcs.md says, and put it there unchanged.',
  }
}

/** Only who is on time gets a token: a clock that is wrong looks like a wrong key. */
function skewed({ headers, reason }: StoreRefusal, nowMs: number): Verdict | undefined {
  const apartMs = nowMs - Date.parse(headers['date'] ?? '')
  if (reason !== 'invalid_grant' || !(Math.abs(apartMs) > mostSkewMs)) return undefined
  const direction = apartMs > 0 ? 'ahead of' : 'behind'
  return {
    found: `the clock of this machine is ${formatDuration(Math.abs(apartMs))} ${direction} that of the token server (invalid_grant)`,
    hint: 'Set the clock of this machine, best by NTP.',
  }
}
