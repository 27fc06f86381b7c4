import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { crc32c } from '../platform/crc32c.ts'
import {
  controlFileBytes,
  isPoisoned,
  parseControlFile,
  poisonControlFile,
  poisonedCheckpointLsn,
  readControlFile,
} from './control-file.ts'

describe('parseControlFile', () => {
  for (const controlVersion of [1300, 1700, 1800]) {
    test(`reads version ${controlVersion}`, () => {
      const control = parseControlFile(buildControlFile({ controlVersion }))

      assert.equal(control.systemIdentifier, '7710220844401826856')
      assert.equal(control.checkpointLsn, 0x0150_0028n)
      assert.equal(control.state, 'in production')
      assert.equal(control.timeline, 3)
    })
  }

  test('refuses versions that it does not know, also the other byte order', () => {
    for (const controlVersion of [1201, 1900, 0, 0x1405_0000]) {
      assert.throws(
        () => parseControlFile(buildControlFile({ controlVersion })),
        (error) => isOperationError(error, 'server-unsuitable'),
      )
    }
  })

  test('refuses every flipped bit of its content', () => {
    const good = buildControlFile({})
    for (let bit = 0; bit < 292 * 8; bit += 1) {
      const flipped = Buffer.from(good)
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)

      assert.throws(() => parseControlFile(flipped), OperationError)
    }
  })

  test('answers any bytes with a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: controlFileBytes }), (bytes) => {
        assert.throws(() => parseControlFile(bytes), OperationError)
      }),
    )
  })

  test('refuses impossible values although the CRC is good', () => {
    assert.throws(() => parseControlFile(buildControlFile({ state: 7 })), /state 7/)
    assert.throws(() => parseControlFile(buildControlFile({ timeline: 0 })), /timeline 0/)
  })
})

describe('poisonControlFile', () => {
  test('changes the checkpoint and the CRC and nothing else (R57)', () => {
    const bytes = buildControlFile({})
    const poisoned = poisonControlFile(bytes)

    const before = parseControlFile(bytes)
    const after = parseControlFile(poisoned)

    assert.deepEqual(after, { ...before, checkpointLsn: poisonedCheckpointLsn })
    assert.equal(isPoisoned(before), false)
    assert.equal(isPoisoned(after), true)
  })

  test('refuses what is damaged already', () => {
    const bytes = buildControlFile({})
    bytes.writeUInt8(bytes.readUInt8(60) ^ 1, 60)

    assert.throws(
      () => poisonControlFile(bytes),
      (error) => isOperationError(error, 'damaged'),
    )
  })
})

describe('readControlFile', () => {
  test('waits out a write that it caught half way (R12)', async () => {
    await withFile(Buffer.alloc(controlFileBytes - 1), async (path) => {
      let pauseCount = 0
      const context = fakeContext(() => {
        pauseCount += 1
        if (pauseCount === 3) writeFileSync(path, buildControlFile({}))
      })

      const { bytes, control } = await readControlFile(path, context)

      assert.equal(control.timeline, 3)
      assert.equal(bytes.length, controlFileBytes)
      assert.ok(pauseCount >= 3)
    })
  })

  test('gives up on a file that stays bad, and says why', async () => {
    await withFile(Buffer.alloc(100), async (path) => {
      await assert.rejects(
        readControlFile(
          path,
          fakeContext(() => undefined),
        ),
        (error) => isOperationError(error, 'damaged') && /100 bytes/.test(String(error.cause)),
      )
    })
  })
})

function buildControlFile(fields: { controlVersion?: number; state?: number; timeline?: number }): Buffer {
  const controlVersion = fields.controlVersion ?? 1300
  const bytes = Buffer.alloc(controlFileBytes)
  bytes.writeBigUInt64LE(7_710_220_844_401_826_856n, 0)
  bytes.writeUInt32LE(controlVersion, 8)
  bytes.writeUInt32LE(fields.state ?? 6, 16)
  bytes.writeBigUInt64LE(0x0150_0028n, 32)
  bytes.writeUInt32LE(fields.timeline ?? 3, 48)
  bytes.writeUInt32LE(fields.timeline ?? 3, 52)
  bytes.writeDoubleLE(1_234_567, 208)
  const crcOffset = controlVersion === 1800 ? 292 : 288
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, crcOffset)) >>> 0, crcOffset)
  return bytes
}

function fakeContext(onSleep: () => void): RunContext {
  return {
    signal: new AbortController().signal,
    clock: {
      now: () => 0,
      monotonic: () => 0,
      sleep: () => {
        onSleep()
        return Promise.resolve()
      },
    },
    report: () => undefined,
  }
}

async function withFile(content: Buffer, use: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-control-'))
  try {
    const path = join(folder, 'pg_control')
    writeFileSync(path, content)
    await use(path)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
