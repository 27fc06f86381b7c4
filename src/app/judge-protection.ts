import { formatDuration } from '../domain/duration.ts'
import type { Retention, StoreProtection } from '../storage/object-store.ts'
import type { CheckItem } from './check-item.ts'

export interface KnownProtection {
  readonly protection: StoreProtection
  readonly retention: Retention | undefined
  /** Of the data that the newest backup needs the age of the oldest; undefined: there is no backup, or its manifest cannot be read. */
  readonly oldestNeededMs: number | undefined
}

const dayMs = 24 * 60 * 60 * 1000

/** What would be left if somebody with our keys deleted everything. */
export function judgeProtection({
  protection: { keepsVersions, canLock },
  retention,
  oldestNeededMs,
}: KnownProtection): Omit<CheckItem, 'name'> {
  if (retention === undefined) return withoutLock(keepsVersions)
  if (canLock === false) {
    return {
      state: 'failed',
      message: 'retention-days is set, and the bucket does not lock objects: nothing can be stored',
      hint: 'Make a bucket with object lock, or remove the setting (docs/s3.md).',
    }
  }
  const { mode, days } = retention
  const message = `new objects are locked for ${days} days (${mode})`
  if (oldestNeededMs !== undefined && oldestNeededMs > days * dayMs) {
    return {
      state: 'warning',
      message: `${message}; the newest backup needs data that is ${formatDuration(oldestNeededMs)} old, whose lock has ended`,
      hint: 'Take a full backup more often than that, or raise retention-days (docs/s3.md).',
    }
  }
  return { state: 'ok', message }
}

function withoutLock(keepsVersions: boolean | undefined): Omit<CheckItem, 'name'> {
  if (keepsVersions === undefined) {
    return {
      state: 'info',
      message: 'not known: the keys may not ask whether the bucket keeps versions',
      hint: 'Allow s3:GetBucketVersioning and s3:GetBucketObjectLockConfiguration (docs/s3.md).',
    }
  }
  if (keepsVersions) {
    return {
      state: 'ok',
      message: 'the bucket keeps versions of what is deleted; nothing is locked',
      hint: 'With retention-days not even whoever may delete versions can delete a backup (docs/s3.md).',
    }
  }
  return {
    state: 'info',
    message: 'the bucket keeps no versions: what somebody with the keys deletes is gone',
    hint: 'Let the bucket keep versions, best with object lock (docs/s3.md).',
  }
}
