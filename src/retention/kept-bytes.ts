import { formatByteSize } from '../domain/byte-size.ts'
import { formatInstant, instantFromMs } from '../domain/target-time.ts'
import type { KeptReason, Retention } from '../storage/object-store.ts'
import type { Garbage } from './find-garbage.ts'

/** What was to be deleted, and whose bytes the store keeps for one reason. */
export interface KeptBytes {
  readonly reason: KeptReason
  readonly count: number
  readonly bytes: number
  /** When the last of their locks ends, in milliseconds since 1970, as far as we have set them; undefined: no lock of ours. */
  readonly retainedUntilMs: number | undefined
}

const reasons = ['version', 'retained', 'forbidden'] as const satisfies readonly KeptReason[]
const dayMs = 24 * 60 * 60 * 1000

/** Sums up by reason. The store locks from when it stores, so what is newest is kept longest. */
export function sumKept(
  kept: readonly { readonly garbage: Garbage; readonly reason: KeptReason }[],
  retention: Retention | undefined,
): readonly KeptBytes[] {
  return reasons.flatMap((reason): readonly KeptBytes[] => {
    const members = kept.filter((one) => one.reason === reason).map(({ garbage }) => garbage)
    if (members.length === 0) return []
    const newestMs = members.reduce((newest, { modifiedAtMs }) => Math.max(newest, modifiedAtMs), 0)
    return [
      {
        reason,
        count: members.length,
        bytes: members.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        retainedUntilMs: retention && newestMs + retention.days * dayMs,
      },
    ]
  })
}

/** One line, for people: what is kept, why, and until when or what to do. */
export function describeKept({ reason, count, bytes, retainedUntilMs }: KeptBytes): string {
  const what = `${formatByteSize(bytes)} in ${count} objects`
  const until =
    retainedUntilMs === undefined
      ? undefined
      : `retained until ${formatInstant(instantFromMs(retainedUntilMs)).slice(0, 19).replace('T', ' ')} UTC`
  switch (reason) {
    case 'version':
      return until === undefined
        ? `kept as versions by the bucket: ${what}; a lifecycle rule for noncurrent versions frees the space (docs/s3.md)`
        : `kept as versions by the bucket, ${until}: ${what}; a lifecycle rule for noncurrent versions frees the space then (docs/s3.md)`
    case 'retained':
      return `${until ?? 'retained by the store'}: ${what}; a later sweep tries again`
    case 'forbidden':
      return `not deleted, because the store does not allow it: ${what}; a later sweep tries again, best on a host that may delete`
  }
}
