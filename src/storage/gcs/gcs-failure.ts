import { AnswerFault } from '../answer-fault.ts'
import type { StoreFailure } from '../call-with-retry.ts'
import { judgeNetwork, retryAfterMs, type AskedPlace } from '../network-failure.ts'
import { StoreRefusal } from './store-refusal.ts'
import { TokenFault } from './token-fault.ts'
import { judgeTokenFault } from './token-failure.ts'
import { brokenHint, codeOf, type Verdict } from './verdict.ts'

export interface AskedStore {
  readonly bucket: string
  readonly endpoint: string | undefined
  /** What this machine's clock says, in ms since the epoch. */
  readonly nowMs: number
}

/** Judges a refusal, a token that is not to be had, an error of the network, or an answer that cannot be right. Undefined: none of these. */
export function judgeFailure(error: unknown, asked: AskedStore): StoreFailure | undefined {
  const verdict = judge(error, asked)
  if (verdict === undefined) return undefined
  return {
    isTransient: false,
    hasAnswered: false,
    isThrottling: false,
    retryAfterMs: 0,
    code: 'store-failed',
    ...verdict,
  }
}

function judge(error: unknown, asked: AskedStore): Verdict | undefined {
  if (error instanceof AnswerFault) {
    return { isTransient: true, hasAnswered: true, found: error.message, hint: brokenHint }
  }
  if (error instanceof TokenFault) return judgeTokenFault(error, asked.nowMs)
  if (error instanceof StoreRefusal) {
    const isThrottling = error.status === 429 || error.status === 503 || isRateLimit(error)
    const verdict = judgeReason(error, asked) ?? judgeStatus(error)
    const { 'retry-after': retryAfter } = error.headers
    return {
      hasAnswered: true,
      isThrottling,
      retryAfterMs: retryAfterMs(retryAfter, asked.nowMs),
      ...verdict,
    }
  }
  return judgeNetwork(codeOf(error), placeOf(asked))
}

const placeOf = ({ endpoint }: AskedStore): AskedPlace => ({
  endpoint,
  section: 'gcs',
  nameHint: 'Check gcs.endpoint of the repo, and the name service of this machine.',
  hostHint: 'Set gcs.endpoint of the repo to the name in the certificate.',
})

const permissionHint = 'Give the account the permissions that docs/gcs.md lists, and look for deny rules.'

function isRateLimit({ reason }: StoreRefusal): boolean {
  return /rateLimitExceeded$/i.test(reason)
}

function judgeReason(refusal: StoreRefusal, { bucket }: AskedStore): Verdict | undefined {
  const { status, reason, serverText } = refusal
  if (isRateLimit(refusal)) return busy(`the store asks to be asked less (${reason})`)
  if (status === 404 && reason === 'notFound') return missingBucket(bucket)
  if (status === 400 && /doesn't match calculated (MD5|CRC32C)/i.test(serverText)) {
    return { isTransient: true, found: 'the store got other bytes than were sent', hint: brokenHint }
  }
  const known = reasonVerdicts.get(reason)
  if (known !== undefined) return known
  if (reason.startsWith('cloudKms')) {
    return {
      found: `the store cannot encrypt with the key that it is to use (${reason})`,
      hint: "Correct gcs.kms-key of the repo or the bucket's own, and let the service agent of Cloud Storage use that key.",
    }
  }
  return status === 403 && reason === 'forbidden' ? forbidden(serverText) : undefined
}

function missingBucket(bucket: string): Verdict {
  return {
    code: 'store-unreachable',
    found: `expected the bucket "${bucket}", found none of that name (notFound)`,
    hint: 'Make the bucket, or correct the location of the repo or its endpoint: Holdfast makes no bucket.',
  }
}

/** Which permission it is stands in the words only. */
function forbidden(serverText: string): Verdict {
  const permission = /\bstorage\.[a-zA-Z]{1,32}\.[a-zA-Z]{1,32}\b/.exec(serverText)?.[0]
  return {
    found: `the store does not allow it (forbidden${permission === undefined ? '' : `: ${permission}`})`,
    hint: permissionHint,
  }
}

const busy = (found: string): Verdict => ({
  isTransient: true,
  found,
  hint: 'Wait until the store has less to do, or lower gcs.max-requests of the repo.',
})

const noCredentials: Verdict = {
  found: 'the store does not take the credentials',
  hint: 'Look at the account that gcs.credentials-file or this machine has: it may be disabled, or its key deleted.',
}

const noBilling = (reason: string): Verdict => ({
  found: `the project of the bucket is closed or does not pay (${reason})`,
  hint: 'Look at the billing and the state of the project in the console of Google Cloud.',
})

const reasonVerdicts: ReadonlyMap<string, Verdict> = new Map(
  Object.entries<Verdict>({
    authError: noCredentials,
    accountDisabled: noBilling('accountDisabled'),
    billingNotEnabled: noBilling('billingNotEnabled'),
    accessNotConfigured: {
      found: 'the API of Cloud Storage is not enabled in the project of the account (accessNotConfigured)',
      hint: 'Enable storage.googleapis.com in that project.',
    },
    insufficientPermissions: {
      found: 'the token of this machine is not for storage (insufficientPermissions)',
      hint: 'Give the machine the access scope "storage-rw" or "cloud-platform", or set gcs.credentials-file of the repo.',
    },
    userProjectMissing: {
      found: 'the bucket lets whoever asks pay (userProjectMissing)',
      hint: 'End "requester pays" of the bucket.',
    },
    quotaExceeded: {
      found: 'a quota of the project is used up (quotaExceeded)',
      hint: 'Raise the quota in the console of Google Cloud, or wait until it begins anew.',
    },
    retentionPolicyNotMet: {
      found: 'the store retains the object (retentionPolicyNotMet)',
      hint: 'Wait until its retention ends.',
    },
    conflict: busy('somebody else changes the object or the bucket at the same time (conflict)'),
  }),
)

function judgeStatus({ status, reason }: StoreRefusal): Verdict {
  const found = `the store answered ${status} (${reason === '' ? 'without a reason' : reason})`
  if (status === 408 || status === 409 || status === 429 || status >= 500) return busy(found)
  if (status === 401) return { ...noCredentials, found: `${noCredentials.found}: ${found}` }
  if (status === 403) return { found, hint: permissionHint }
  return { found, hint: 'Check the endpoint and the bucket of the repo, and what answers there.' }
}
