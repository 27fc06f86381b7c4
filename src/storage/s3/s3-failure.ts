import { formatDuration } from '../../domain/duration.ts'
import type { StoreFailure } from '../call-with-retry.ts'
import { AnswerFault } from '../answer-fault.ts'
import { judgeNetwork, retryAfterMs, type AskedPlace } from '../network-failure.ts'

export interface AskedStore {
  readonly bucket: string
  readonly region: string
  readonly endpoint: string | undefined
  /** Whether objects are stored with a lock. */
  readonly isLocking: boolean
  /** What this machine's clock says, in ms since the epoch. */
  readonly nowMs: number
}

/** What the answer to a failed request said, as far as there was one. Never the text of the answer: it may hold anything. */
interface Answer {
  readonly status: number | undefined
  /** The store's name for the error, or the system's. */
  readonly name: string
  readonly headers: Readonly<Record<string, string>>
}

type Verdict = Partial<Omit<StoreFailure, 'hasAnswered'>> & Pick<StoreFailure, 'found' | 'hint'>

/** Judges an error of the SDK, of the network, or of an answer that cannot be right. Undefined: it is none of these. */
export function judgeFailure(error: unknown, asked: AskedStore): StoreFailure | undefined {
  if (!(error instanceof Error)) return undefined
  if (error instanceof AnswerFault) {
    return complete({ found: error.message, hint: brokenHint, isTransient: true }, true)
  }
  const answer = readAnswer(error)
  const verdict = judgeName(answer, error, asked) ?? judgeStatus(answer)
  if (verdict === undefined) return undefined
  const isThrottling = verdict.isThrottling ?? (answer.status === 429 || answer.status === 503)
  return complete(
    { ...verdict, isThrottling, retryAfterMs: retryAfterMs(answer.headers['retry-after'], asked.nowMs) },
    answer.status !== undefined,
  )
}

/** The HTTP status of the answer that an error stands for. */
export function statusOf(error: unknown): number | undefined {
  const metadata = property(error, '$metadata')
  const status = property(metadata, 'httpStatusCode')
  return typeof status === 'number' ? status : undefined
}

/** The store's name for an error, such as `NoSuchKey`. */
export function nameOf(error: unknown): string {
  const code = property(error, 'code')
  const name = typeof code === 'string' ? code : property(error, 'name')
  return typeof name === 'string' && /^[\w.]{1,64}$/.test(name) ? name : 'an unknown error'
}

const brokenHint = 'Look into the log of the store and of what lies between it and this machine.'
const permissionHint =
  'Give the access key the permissions that docs/s3.md lists, and look for retention and deny rules.'

function complete(verdict: Verdict, hasAnswered: boolean): StoreFailure {
  return {
    isTransient: false,
    isThrottling: false,
    retryAfterMs: 0,
    code: 'store-failed',
    ...verdict,
    hasAnswered,
  }
}

function readAnswer(error: Error): Answer {
  const headers = property(property(error, '$response'), 'headers')
  const texts = typeof headers === 'object' && headers !== null ? Object.entries(headers) : []
  return {
    status: statusOf(error),
    name: nameOf(error),
    headers: Object.fromEntries(
      texts.flatMap(([name, value]: [string, unknown]) =>
        typeof value === 'string' ? [[name.toLowerCase(), value]] : [],
      ),
    ),
  }
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function judgeName(answer: Answer, error: Error, asked: AskedStore): Verdict | undefined {
  if (answer.status === 301 || answer.name === 'PermanentRedirect') return wrongRegion(answer, error, asked)
  if (answer.name === 'AuthorizationHeaderMalformed') return wrongRegion(answer, error, asked)
  if (answer.name === 'RequestTimeTooSkewed') return skewedClock(answer, asked)
  if (answer.name === 'NoSuchBucket') return missingBucket(asked)
  if (answer.name === 'InvalidRequest' && asked.isLocking) return withoutLock(asked)
  return namedVerdicts[answer.name] ?? judgeNetwork(answer.name, network(asked))
}

const network = ({ endpoint }: AskedStore): AskedPlace => ({
  endpoint,
  section: 's3',
  nameHint: 'Check s3.endpoint and s3.region of the repo, and the name service of this machine.',
  hostHint:
    'Set s3.endpoint to the name in the certificate; with bucket names in host names, try s3.path-style.',
})

function missingBucket({ bucket }: AskedStore): Verdict {
  return {
    code: 'store-unreachable',
    found: `expected the bucket "${bucket}", found none of that name (NoSuchBucket)`,
    hint: 'Make the bucket, or correct the location of the repo or its endpoint: Holdfast makes no bucket.',
  }
}

/** What a store says to an object with a lock when the bucket was made without. */
export function withoutLock({ bucket }: Pick<AskedStore, 'bucket'>): Pick<StoreFailure, 'found' | 'hint'> {
  return {
    found: `s3.retention-days is set, and the bucket "${bucket}" does not lock objects`,
    hint: 'Make a bucket with object lock for the repository (docs/s3.md), or remove s3.retention-days of the repo.',
  }
}

function wrongRegion({ headers }: Answer, error: Error, { bucket, region }: AskedStore): Verdict {
  const told =
    headers['x-amz-bucket-region'] ??
    property(error, 'Region') ??
    /expecting '([\w-]{1,64})'/.exec(error.message)?.[1]
  const isKnown = typeof told === 'string' && /^[\w-]{1,64}$/.test(told)
  return {
    found: `expected the bucket "${bucket}" in region "${region}", found it in ${isKnown ? `"${told}"` : 'another one'}`,
    hint: isKnown ? `Set s3.region of the repo to "${told}".` : 'Set s3.region of the repo to its region.',
  }
}

function skewedClock({ headers }: Answer, { nowMs }: AskedStore): Verdict {
  const theirs = Date.parse(headers['date'] ?? '')
  const apart = Number.isNaN(theirs)
    ? 'too far from'
    : `${formatDuration(Math.abs(nowMs - theirs))} ${nowMs > theirs ? 'ahead of' : 'behind'}`
  return {
    found: `the clock of this machine is ${apart} the clock of the store (RequestTimeTooSkewed)`,
    hint: 'Set the clock of this machine, best by NTP.',
  }
}

const busy = (found: string): Verdict => ({
  isTransient: true,
  found,
  hint: 'Wait until the store has less to do, or lower s3.max-requests of the repo.',
})

const keys: Pick<Verdict, 'hint'> = {
  hint: 'Correct s3.access-key-id and s3.secret-key-file of the repo, or what the usual places of AWS hold.',
}

const expired: Verdict = {
  found: 'the session token has expired or is not valid',
  hint: 'Get new keys, and put them where the configuration says; keys that do not expire need no token.',
}

const withoutIt: Verdict = {
  found: 'the store does not have what is asked of it (NotImplemented)',
  hint: 'Use a store with conditional writes; docs/s3.md says what a store needs.',
}

const namedVerdicts: Readonly<Record<string, Verdict | undefined>> = {
  InvalidAccessKeyId: { ...keys, found: 'the store does not know the access key (InvalidAccessKeyId)' },
  SignatureDoesNotMatch: {
    ...keys,
    found: 'the secret key is not the one of the access key (SignatureDoesNotMatch)',
  },
  ExpiredToken: expired,
  ExpiredTokenException: expired,
  InvalidToken: expired,
  TokenRefreshRequired: expired,
  CredentialsProviderError: {
    ...keys,
    found: 'there are no keys for the store, neither in the configuration nor in the usual places of AWS',
  },
  AccessDenied: { found: 'the store does not allow it (AccessDenied)', hint: permissionHint },
  InvalidObjectState: {
    found: 'the object is in an archive that is not read at once (InvalidObjectState)',
    hint: 'Bring it back from the archive, and end the lifecycle rule that moves objects of a repository there.',
  },
  QuotaExceeded: {
    code: 'no-space',
    found: 'the quota of the bucket is used up (QuotaExceeded)',
    hint: 'Raise the quota, or free space, and run the command again.',
  },
  NotImplemented: withoutIt,
  SlowDown: { ...busy('the store asks to be asked less (SlowDown)'), isThrottling: true },
  RequestTimeout: { isTransient: true, found: 'the store waited too long for the request', hint: brokenHint },
  IncompleteBody: { isTransient: true, found: 'the store got a part of the request', hint: brokenHint },
  BadDigest: { isTransient: true, found: 'the store got other bytes than were sent', hint: brokenHint },
  XAmzContentSHA256Mismatch: {
    isTransient: true,
    found: 'the store got other bytes than were sent',
    hint: brokenHint,
  },
  ConditionalRequestConflict: busy('somebody else changed the object meanwhile (ConditionalRequestConflict)'),
  OperationAborted: busy('somebody else changed the bucket meanwhile (OperationAborted)'),
}

function judgeStatus({ status, name }: Answer): Verdict | undefined {
  if (status === undefined) return undefined
  if (status === 501) return withoutIt
  const found = `the store answered ${status} (${name})`
  if (status === 429 || status === 409 || status >= 500) return busy(found)
  if (status === 401 || status === 403) return { found, hint: permissionHint }
  // An answer of success that could not be read.
  if (status < 300) return { isTransient: true, found: `${found}, which makes no sense`, hint: brokenHint }
  return { found, hint: 'Check endpoint, region and bucket of the repo, and what answers there.' }
}
