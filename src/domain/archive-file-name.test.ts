import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { classifyArchiveFileName, historyFileName, parseArchiveFileName } from './archive-file-name.ts'
import { isOperationError } from './operation-error.ts'
import { toTimelineId } from './timeline.ts'

const segment = '0000000A0000000000000003'

describe('classifyArchiveFileName', () => {
  test('tells the four classes of names apart (R26)', () => {
    assert.deepEqual(classifyArchiveFileName(segment), { kind: 'segment', name: segment, timeline: 10 })
    assert.deepEqual(classifyArchiveFileName(`${segment}.partial`), {
      kind: 'partial',
      name: `${segment}.partial`,
      timeline: 10,
      segment,
    })
    assert.deepEqual(classifyArchiveFileName('0000000A.history'), {
      kind: 'history',
      name: '0000000A.history',
      timeline: 10,
    })
    assert.deepEqual(classifyArchiveFileName(`${segment}.00000028.backup`), {
      kind: 'backup-history',
      name: `${segment}.00000028.backup`,
      timeline: 10,
      segment,
      startOffset: 0x28,
    })
  })

  test('knows no other name (R26)', () => {
    const others = [
      '',
      '.',
      '..',
      '/etc/passwd',
      `../${segment}`,
      `.${segment}`,
      `${segment}/`,
      `${segment}\n`,
      `${segment}\0`,
      segment.toLowerCase(),
      `${segment}.gz`,
      `${segment}.Partial`,
      `${segment}.partial.partial`,
      `${segment}.28.backup`,
      '00000000.history',
      '0000000a.history',
      '000000000000000000000003',
      '0000000A0000000000001000',
      '1.history',
      'RECOVERYXLOG',
      segment.repeat(3),
    ]
    for (const text of others) assert.equal(classifyArchiveFileName(text), undefined, text)
  })

  test('gives back the very name, for whatever it knows', () => {
    const nearly = fc.stringMatching(
      /^[0-9A-Ga-f]{7,9}([0-9A-F]{16})?(\.partial|\.history|\.[0-9A-F]{8}\.backup)?$/,
    )
    fc.assert(
      fc.property(fc.oneof(nearly, fc.string()), (text) => {
        const name = classifyArchiveFileName(text)

        assert.ok(name === undefined || (name.name === text && !/[^0-9A-Za-z.]/.test(text)))
      }),
    )
  })
})

describe('parseArchiveFileName', () => {
  test('refuses an unknown name and shows it harmlessly', () => {
    assert.throws(
      () => parseArchiveFileName('\u001b[2Jx'),
      (error) => isOperationError(error, 'usage') && !error.message.includes('\u001b'),
    )
    assert.equal(parseArchiveFileName(segment).kind, 'segment')
  })
})

describe('historyFileName', () => {
  test('writes the timeline in hex (R29)', () => {
    assert.equal(historyFileName(toTimelineId(17)), '00000011.history')
  })
})
