import assert from 'node:assert/strict'
import { basename } from 'node:path'
import { describe, test } from 'node:test'
import { expectOk } from '../support/holdfast.ts'
import { createScratch } from '../support/scratch.ts'
import { auditDurability, type AuditRules } from './audit-durability.ts'
import { archiveGet } from './cases/archive-get.ts'
import { archivePush, archivePushAhead } from './cases/archive-push.ts'
import { backup } from './cases/backup.ts'
import { expire } from './cases/expire.ts'
import { init } from './cases/init.ts'
import { restore, restoreFiles } from './cases/restore.ts'
import type { FaultCase } from './fault-case.ts'
import { runWithTap } from './run-with-tap.ts'

interface Audited extends AuditRules {
  readonly faultCase: FaultCase
  readonly fewest: number
  /** Syncs file by file, as where there is no `sync` that can be trusted. */
  readonly hidesSync?: boolean
}

/** What each command promises, and the fewest names that an audit must have seen for it to mean something. */
const audits: readonly Audited[] = [
  { faultCase: archivePush, isPromised: isObject, fewest: 1 },
  // An acknowledgement is taken for an exit code 0 (R27). It is not synced itself: lost, it is asked for again.
  { faultCase: archivePushAhead, isPromised: isObject, isAcknowledgement, fewest: 4 },
  {
    faultCase: archiveGet,
    isPromised: () => false,
    isContentOnly: (path) => basename(path) === 'RECOVERYXLOG',
    fewest: 1,
  },
  { faultCase: init, isPromised: (path) => isObject(path) || isSetting(path), fewest: 5 },
  // What the catalogue lists is durable before it is listed.
  { faultCase: backup, isPromised: isObject, isAcknowledgement: isCatalogueEntry, fewest: 4 },
  { faultCase: expire, isPromised: isObject, isAcknowledgement: isCatalogueEntry, fewest: 2 },
  { faultCase: restoreFiles, isPromised: isRestored, fewest: 900 },
  { faultCase: restoreFiles, isPromised: isRestored, fewest: 900, hidesSync: true },
  { faultCase: restore, isPromised: isRestored, fewest: 900 },
]

describe('what is said to be done', () => {
  for (const { faultCase, fewest, hidesSync = false, ...rules } of audits) {
    test(`is durable by then: ${faultCase.name}${hidesSync ? ', each file by itself' : ''} (K9)`, async (t) => {
      await using scratch = await createScratch('audit')
      await using stage = await faultCase.stage(scratch)
      await using turn = await stage.turn()

      const { result, events } = await runWithTap(turn.command, { isDetailed: true, hidesSync })

      expectOk(result)
      const { violations, publishedCount, promiseCount } = auditDurability(events, rules)
      const syncsSystem = events.some((event) => event.event === 'begin' && event.operation === 'syncfs')
      assert.ok(!hidesSync || !syncsSystem, 'it synced a whole file system')
      t.diagnostic(`${publishedCount} names at ${promiseCount} promises`)
      assert.deepEqual(violations.slice(0, 20), [])
      assert.ok(publishedCount >= fewest, `only ${publishedCount} names were seen`)
    })
  }
})

/**
 * In a repository, and neither a temporary file, nor space that is kept: that holds nothing, and is filled up again. Nor the
 * index of a segment: nothing depends on it, and while it is stored another segment may be acknowledged.
 */
function isObject(path: string): boolean {
  return /\/repository\/(?!\.(tmp|reserve)\/|[0-9a-f]{16}\/index\/)/.test(path)
}

function isCatalogueEntry(path: string): boolean {
  return path.includes('/catalog/')
}

function isAcknowledgement(path: string): boolean {
  return /\/holdfast-ack\/[^.]/.test(path)
}

/** The configuration and the key. */
function isSetting(path: string): boolean {
  return /\/(holdfast\.yaml|key)$/.test(path)
}

/** In the directory that was restored; what is about the restore itself does not outlive it. */
function isRestored(path: string): boolean {
  return /\/t\d+\/data\/(?!.*holdfast-)/.test(path)
}
