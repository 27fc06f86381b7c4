import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { testContext } from '../../test/support/repository.ts'
import { toLsn } from '../domain/lsn.ts'
import { parseTimelineId } from '../domain/timeline.ts'
import { crc32c } from '../platform/crc32c.ts'
import type { StartedBackup } from '../postgres/backup-session.ts'
import { controlFileBytes } from '../postgres/control-file.ts'
import { controlFileOf, refuseIdleDataDirectory } from './check-data-directory.ts'

/** DBState in catalog/pg_control.h. */
const states = { shutDown: 1, inArchiveRecovery: 5, inProduction: 6 } as const

const started: StartedBackup = {
  startLsn: toLsn(0x300_0028n),
  timeline: parseTimelineId('2'),
  startTime: '2026-02-20 15:30:00+00',
  version: { major: 17, minor: 2 },
  isInRecovery: false,
}

describe('refuseIdleDataDirectory', () => {
  test('accepts the directory that holds the start checkpoint, or one that the server made since (R5)', async () => {
    await withControlFile({}, async (dataDirectory) => {
      await refuseIdleDataDirectory({ dataDirectory, started }, testContext())
    })
    await withControlFile({ redo: 0x300_0060n }, async (dataDirectory) => {
      await refuseIdleDataDirectory({ dataDirectory, started }, testContext())
    })
  })

  const refused = [
    [
      'a copy whose last checkpoint is older',
      { redo: 0x300_0027n },
      /from 0\/3000028 on, found one at 0\/3000027/,
    ],
    [
      'a standby, however far it has come',
      { state: states.inArchiveRecovery },
      /found one in archive recovery/,
    ],
    ['a directory that no server runs in', { state: states.shutDown }, /found one shut down/],
    ['a cluster on another timeline', { timeline: 1 }, /expected timeline 2, found 1/],
  ] as const
  for (const [what, fields, message] of refused) {
    test(`refuses ${what} (R3)`, async () => {
      await withControlFile(fields, async (dataDirectory) => {
        await assert.rejects(refuseIdleDataDirectory({ dataDirectory, started }, testContext()), {
          code: 'cluster-mismatch',
          message,
        })
      })
    })
  }
})

interface Fields {
  readonly state?: number
  readonly redo?: bigint
  readonly timeline?: number
}

async function withControlFile(fields: Fields, use: (dataDirectory: string) => Promise<void>): Promise<void> {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'hf-check-'))
  try {
    const path = controlFileOf(dataDirectory)
    mkdirSync(dirname(path))
    writeFileSync(path, controlFile(fields))
    await use(dataDirectory)
  } finally {
    rmSync(dataDirectory, { recursive: true })
  }
}

/** The fields that count, at their offsets in ControlFileData of version 1700 (catalog/pg_control.h). */
function controlFile({ state = states.inProduction, redo = started.startLsn, timeline = 2 }: Fields): Buffer {
  const bytes = Buffer.alloc(controlFileBytes)
  bytes.writeUInt32LE(1700, 8)
  bytes.writeUInt32LE(state, 16)
  bytes.writeBigUInt64LE(redo, 40)
  bytes.writeUInt32LE(timeline, 48)
  bytes.writeUInt32LE(timeline, 52)
  bytes.writeDoubleLE(1_234_567, 208)
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 288)) >>> 0, 288)
  return bytes
}
