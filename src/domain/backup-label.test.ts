import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import {
  compareLabels,
  isBackupLabel,
  labelKind,
  labelTimeMs,
  nextLabel,
  parseBackupLabel,
  type BackupKind,
  type BackupLabel,
} from './backup-label.ts'
import { isOperationError } from './operation-error.ts'

const halfPastThree = Date.UTC(2026, 1, 20, 15, 30)

describe('parseBackupLabel', () => {
  test('reads the three kinds', () => {
    const labels = ['20260220-153000F', '20260220-153000I', '20260220-153000L'].map(parseBackupLabel)

    assert.deepEqual(labels.map(labelKind), ['full', 'incr', 'dump'])
    assert.ok(labels.every((label) => labelTimeMs(label) === halfPastThree))
  })

  test('refuses everything else', () => {
    const wrong = [
      '',
      'latest',
      '20260220-153000',
      '20260220-153000D',
      '20260220-153000f',
      '20260230-153000F',
      '20260220-153060F',
      '20260220-153000F\n',
      ' 20260220-153000F',
      '../0220-153000F',
    ]
    for (const text of wrong) {
      assert.throws(
        () => parseBackupLabel(text),
        (error) => isOperationError(error, 'usage'),
        text,
      )
    }
  })

  test('answers any text with a label or a usage error', () => {
    fc.assert(
      fc.property(fc.oneof(fc.stringMatching(/^\d{8}-\d{6}[FILX]$/), fc.string()), (text) => {
        assert.ok(isBackupLabel(text) || isRefused(text))
      }),
    )
  })
})

describe('nextLabel', () => {
  test('says when the backup began, in UTC', () => {
    assert.equal(nextLabel(halfPastThree + 999, 'full', []), '20260220-153000F')
  })

  test('goes one second on when the second is taken by any kind', () => {
    const existing = [parseBackupLabel('20260220-153000L')]

    assert.equal(nextLabel(halfPastThree, 'incr', existing), '20260220-153001I')
  })

  test('follows the newest label when the clock has stepped back (R19)', () => {
    const existing = ['20260220-163000F', '20260220-162959I'].map(parseBackupLabel)

    assert.equal(nextLabel(halfPastThree, 'incr', existing), '20260220-163001I')
  })

  test('is later than every existing label and never before now, for any clock (R19)', () => {
    const clocks = fc.array(fc.tuple(fc.integer({ min: 0, max: 10_000_000 }), kinds()), { maxLength: 20 })
    fc.assert(
      fc.property(clocks, (readings) => {
        const labels: BackupLabel[] = []
        for (const [nowMs, kind] of readings) {
          const label = nextLabel(nowMs, kind, labels)
          assert.ok(labels.every((existing) => compareLabels(existing, label) < 0 && existing < label))
          assert.ok(labelTimeMs(label) > nowMs - 1000)
          assert.equal(labelKind(label), kind)
          labels.unshift(label)
        }
      }),
    )
  })
})

describe('compareLabels', () => {
  test('orders by time, whatever the kind', () => {
    const labels = ['20260220-153001F', '20260220-153000L', '20251231-235959I'].map(parseBackupLabel)

    assert.deepEqual(labels.toSorted(compareLabels), labels.toReversed())
  })
})

function kinds(): fc.Arbitrary<BackupKind> {
  return fc.constantFrom('full', 'incr', 'dump')
}

function isRefused(text: string): boolean {
  try {
    parseBackupLabel(text)
    return false
  } catch (error) {
    return isOperationError(error, 'usage')
  }
}
