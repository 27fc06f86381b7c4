import { formatDuration } from '../../domain/duration.ts'
import { AnswerFault } from '../answer-fault.ts'
import type { StoreFailure } from '../call-with-retry.ts'
import { judgeNetwork, retryAfterMs, type AskedPlace } from '../network-failure.ts'
import { readAnswer, type AzureAnswer } from './azure-answer.ts'
import type { AzureLogin } from './azure-options.ts'
import type { Validity } from './credentials.ts'
import { TokenFault } from './token-fault.ts'

export interface AskedAzure {
  readonly account: string
  readonly container: string
  readonly endpoint: string | undefined
  readonly login: AzureLogin['kind']
  /** Of the shared access signature. */
  readonly validity: Validity
  /** What this machine's clock says, in ms since the epoch. */
  readonly nowMs: number
}

type Verdict = Partial<Omit<StoreFailure, 'hasAnswered'>> & Pick<StoreFailure, 'found' | 'hint'>

/** Judges an error of the SDK, of the network, or of an answer that cannot be right. Undefined: it is none of these. */
export function judgeAzureFailure(error: unknown, asked: AskedAzure): StoreFailure | undefined {
  if (!(error instanceof Error)) return undefined
  if (error instanceof AnswerFault) {
    return complete({ found: error.message, hint: brokenHint, isTransient: true }, true)
  }
  if (error instanceof TokenFault) {
    const { message: found, hint, isTransient } = error
    return complete({ found, hint, isTransient }, false)
  }
  const answer = readAnswer(error)
  const verdict = judgeName(answer, asked) ?? judgeStatus(answer)
  if (verdict === undefined) return undefined
  const isThrottling = answer.status === 429 || answer.status === 503
  return complete(
    { isThrottling, ...verdict, retryAfterMs: retryAfterMs(answer.header('retry-after'), asked.nowMs) },
    answer.status !== undefined,
  )
}

const brokenHint = 'Look into the log of the store and of what lies between it and this machine.'
const permissionHint =
  'Give the permissions that docs/azure.md lists, and look for network rules of the account.'

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

function judgeName(answer: AzureAnswer, asked: AskedAzure): Verdict | undefined {
  const { name } = answer
  if (unprovenNames.has(name)) return unproven(answer, asked)
  if (name === 'ContainerNotFound') return missingContainer(asked)
  if (name.startsWith('KeyVault')) return lostVaultKey(name)
  if (name.startsWith('Authorization') || refusals.has(name)) {
    return { found: `the store does not allow it (${name})`, hint: permissionHint }
  }
  return namedVerdicts[name] ?? judgeNetwork(name, placeOf(asked))
}

/** The proof of who asks is missing, wrong or out of date. */
const unprovenNames: ReadonlySet<string> = new Set([
  'AuthenticationFailed',
  'InvalidAuthenticationInfo',
  'NoAuthenticationInformation',
])

const refusals: ReadonlySet<string> = new Set([
  'InsufficientAccountPermissions',
  'KeyBasedAuthenticationNotPermitted',
  'PublicAccessNotPermitted',
])

/** Requests that are signed with a key may be a quarter of an hour old. */
const mostApartMs = 14 * 60_000

/** The store says only that it does not take the proof; why can be seen by the times. */
function unproven(answer: AzureAnswer, asked: AskedAzure): Verdict {
  const theirMs = Date.parse(answer.header('date') ?? '')
  const storeMs = Number.isNaN(theirMs) ? asked.nowMs : theirMs
  switch (asked.login) {
    case 'sas':
      return unprovenSignature(answer.name, asked.validity, storeMs)
    case 'key':
      if (Math.abs(asked.nowMs - storeMs) > mostApartMs) return skewedClock(asked.nowMs - storeMs)
      return {
        found: `the key is not one of the account "${asked.account}" (${answer.name})`,
        hint: 'Correct azure.account and azure.key-file of the repo; keys that were renewed have to be put there.',
      }
    case 'managed-identity':
    case 'workload-identity':
      return {
        found: `the store does not take the token of the identity (${answer.name})`,
        hint: 'Check that the identity and the account belong to the same directory, and azure.client-id of the repo.',
      }
  }
}

function unprovenSignature(name: string, { startsAtMs, endsAtMs }: Validity, storeMs: number): Verdict {
  if (endsAtMs !== undefined && endsAtMs <= storeMs) {
    return {
      found: `the shared access signature has expired ${formatDuration(storeMs - endsAtMs)} ago (${name})`,
      hint: 'Put a new one into azure.sas-file of the repo.',
    }
  }
  if (startsAtMs !== undefined && startsAtMs > storeMs) {
    return {
      found: `the shared access signature is valid in ${formatDuration(startsAtMs - storeMs)} only (${name})`,
      hint: 'Put one into azure.sas-file of the repo that is valid now, or wait.',
    }
  }
  return {
    found: `the store does not take the shared access signature (${name})`,
    hint: 'Put a new one into azure.sas-file of the repo: the key or the policy that it was made with may be gone.',
  }
}

function skewedClock(aheadMs: number): Verdict {
  const apart = `${formatDuration(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'}`
  return {
    found: `the clock of this machine is ${apart} the clock of the store (AuthenticationFailed)`,
    hint: 'Set the clock of this machine, best by NTP.',
  }
}

function missingContainer({ container, account }: AskedAzure): Verdict {
  return {
    code: 'store-unreachable',
    found: `expected the container "${container}" in account "${account}", found none of that name (ContainerNotFound)`,
    hint: 'Make the container, or correct the location of the repo or azure.account: Holdfast makes no container.',
  }
}

function lostVaultKey(name: string): Verdict {
  return {
    found: `the account cannot use its own encryption key (${name})`,
    hint: 'Look at the key of the account in the key vault, and at the rights of the account there.',
  }
}

const busy = (found: string): Verdict => ({
  isTransient: true,
  found,
  hint: 'Wait until the store has less to do, or lower azure.max-requests of the repo.',
})

const broken = (found: string): Verdict => ({ isTransient: true, found, hint: brokenHint })

const tierHint = 'Leave out azure.access-tier of the repo, or use an account that has it.'

const namedVerdicts: Readonly<Record<string, Verdict | undefined>> = {
  ServerBusy: { ...busy('the store asks to be asked less (ServerBusy)'), isThrottling: true },
  OperationTimedOut: busy('the store took too long (OperationTimedOut)'),
  ContainerBeingDeleted: busy('the container is being deleted (ContainerBeingDeleted)'),
  AccountIsDisabled: {
    found: 'the account is disabled (AccountIsDisabled)',
    hint: 'Enable the account, or name another one in azure.account of the repo.',
  },
  ContainerDisabled: {
    found: 'the container is disabled (ContainerDisabled)',
    hint: 'Let whoever owns the account enable it.',
  },
  ResourceNotFound: {
    code: 'store-unreachable',
    found:
      'the store does not have what is asked for, and does not say that it is an object (ResourceNotFound)',
    hint: 'Check azure.account, azure.endpoint and azure.path-style of the repo.',
  },
  BlobArchived: {
    found: 'the object is in the archive tier, which is not read at once (BlobArchived)',
    hint: 'Bring it back to another tier, and end the lifecycle rule that moves objects of a repository there.',
  },
  BlobBeingRehydrated: {
    found: 'the object is on its way out of the archive tier (BlobBeingRehydrated)',
    hint: 'Wait until it is there, which takes hours, and end the lifecycle rule that moves objects there.',
  },
  LeaseIdMissing: {
    found: 'somebody holds a lease of the object (LeaseIdMissing)',
    hint: 'Find out who leases objects of a repository, and break the lease: Holdfast makes none.',
  },
  FeatureNotSupportedForAccount: {
    found: 'the account does not have what is asked of it (FeatureNotSupportedForAccount)',
    hint: tierHint,
  },
  AccessTierNotSupportedForBillingModel: {
    found: 'the account does not have this access tier (AccessTierNotSupportedForBillingModel)',
    hint: tierHint,
  },
  Md5Mismatch: broken('the store got other bytes than were sent (Md5Mismatch)'),
  PARSE_ERROR: broken('the store answered with something that cannot be read'),
}

const placeOf = ({ endpoint, account }: AskedAzure): AskedPlace => ({
  endpoint: endpoint ?? `https://${account}.blob.core.windows.net`,
  section: 'azure',
  nameHint: 'Check azure.account and azure.endpoint of the repo, and the name service of this machine.',
  hostHint: 'Set azure.endpoint to the name in the certificate.',
})

function judgeStatus({ status, name }: AzureAnswer): Verdict | undefined {
  if (status === undefined) return undefined
  const found = `the store answered ${status} (${name})`
  if (status === 501) {
    return { found, hint: 'Use an account of Azure Blob Storage, or another kind of store.' }
  }
  if (status === 408 || status === 409 || status === 429 || status >= 500) return busy(found)
  if (status === 401 || status === 403) return { found, hint: permissionHint }
  // An answer of success that could not be read.
  if (status < 300) return broken(`${found}, which makes no sense`)
  return { found, hint: 'Check account, endpoint and container of the repo, and what answers there.' }
}
