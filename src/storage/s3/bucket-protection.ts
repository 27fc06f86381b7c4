import { nameOf, statusOf } from './s3-failure.ts'
import type { StoreProtection } from '../object-store.ts'
import type { S3Connection } from './s3-requests.ts'

/** Asks the bucket. Not being allowed to ask is an answer; other failures are thrown. */
export async function readBucketProtection(
  connection: S3Connection,
  signal: AbortSignal,
): Promise<StoreProtection> {
  return {
    keepsVersions: await readVersioning(connection, signal).then((found) =>
      found === undefined ? undefined : found === 'now',
    ),
    canLock: await orUnknown(() => readObjectLock(connection, signal)),
  }
}

/** Whether a bucket keeps versions of what is deleted now, only has some of before, or never kept any. Undefined: not known. */
export function readVersioning(
  { sdk, client, bucket }: S3Connection,
  signal: AbortSignal,
): Promise<'now' | 'before' | 'never' | undefined> {
  return orUnknown(async () => {
    const command = new sdk.GetBucketVersioningCommand({ Bucket: bucket })
    const { Status: status } = await client.send(command, { abortSignal: signal })
    if (status === undefined) return 'never'
    return status === 'Enabled' ? 'now' : 'before'
  })
}

async function readObjectLock({ sdk, client, bucket }: S3Connection, signal: AbortSignal): Promise<boolean> {
  try {
    const command = new sdk.GetObjectLockConfigurationCommand({ Bucket: bucket })
    const { ObjectLockConfiguration: found } = await client.send(command, { abortSignal: signal })
    return found?.ObjectLockEnabled === 'Enabled'
  } catch (error) {
    if (nameOf(error) === 'ObjectLockConfigurationNotFoundError') return false
    throw error
  }
}

/** 403: not allowed; 400, 405 and 501: stores that do not know the question. */
const notAnswered: ReadonlySet<number | undefined> = new Set([400, 403, 405, 501])

async function orUnknown<Answer>(ask: () => Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (notAnswered.has(statusOf(error)) && !isAboutKeys(error)) return undefined
    throw error
  }
}

/** Wrong keys are 403 or 400 too, and must not look like a permission that is missing. */
const isAboutKeys = (error: unknown): boolean =>
  /^(?:InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken.*|InvalidToken|TokenRefreshRequired|RequestTimeTooSkewed|AuthorizationHeaderMalformed)$/.test(
    nameOf(error),
  )
