import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RunEvent } from '../../domain/run-context.ts'
import { createReporter } from './reporter.ts'
import type { ReporterOptions } from './reporter.ts'
import { plain } from './text.ts'

describe('a reporter', () => {
  test('writes notes, and warnings with their hints', () => {
    const { written, report } = reporter()

    report({ kind: 'note', message: 'copying files' })
    report({ kind: 'warning', message: 'slow', hint: 'Wait.' })

    assert.equal(written(), 'copying files\nwarning: slow\nhint: Wait.\n')
  })

  test('keeps to the log level', () => {
    assert.equal(toldAt('error'), '')
    assert.equal(toldAt('warning'), 'warning: w\n')
    assert.equal(toldAt('info'), 'n\nwarning: w\n')
  })

  test('writes a line of progress every ten seconds into a log, none for short work', () => {
    const { written, report, advance } = reporter()

    report(copied(0))
    advance(9_000)
    report(copied(90))
    const early = written()
    advance(1_000)
    report(copied(100))
    advance(5_000)
    report(copied(150))

    assert.equal(early, '')
    assert.equal(written(), 'copying: 100 MB of 1 GB (9 %), 10 MB/s, 1 min 33 s left\n')
  })

  test('draws a bar on a terminal, ten times a second at most, and clears it for lines and at the end', () => {
    const { written, report, advance, close } = reporter({ isTTY: true, columns: 200 })

    report(copied(0))
    advance(50)
    report(copied(1))
    advance(1_950)
    report(copied(512))
    report({ kind: 'note', message: 'half' })
    close()

    assert.deepEqual(written().split('\r\u{1b}[2K'), [
      '',
      'copying [------------------------] 0 B of 1 GB (0 %)',
      'copying [############------------] 512 MB of 1 GB (50 %)  256 MB/s  2 s left',
      'half\n',
    ])
  })

  test('never draws wider than the terminal', () => {
    const { written, report } = reporter({ isTTY: true, columns: 20 })

    report(copied(0))

    assert.equal(written().replace('\r\u{1b}[2K', '').length, 19)
  })

  test('counts without a total, and things that are not bytes', () => {
    const { written, report, advance } = reporter()

    report({ kind: 'progress', phase: 'replaying', done: 0, total: 0, unit: 'segments' })
    advance(10_000)
    report({ kind: 'progress', phase: 'replaying', done: 25, total: 0, unit: 'segments' })

    assert.equal(written(), 'replaying: 25 segments, 2.5 segments/s\n')
  })

  test('lets no foreign text move the cursor or show a password (RULES 4.1 A4, 4.2)', () => {
    const { written, report } = reporter()

    report({ kind: 'note', message: 'table "\u{1b}[2Jx\r\ny" password=canary' })

    assert.equal(written(), 'table "\\u{1b}[2Jx\\u{d} y" password=***\n')
  })
})

function toldAt(level: ReporterOptions['level']): string {
  const { written, report } = reporter({ level })
  report({ kind: 'note', message: 'n' })
  report({ kind: 'warning', message: 'w' })
  return written()
}

function copied(megabytes: number): RunEvent {
  const mib = 1024 * 1024
  return { kind: 'progress', phase: 'copying', done: megabytes * mib, total: 1024 * mib, unit: 'bytes' }
}

interface Terminal {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly level?: ReporterOptions['level']
}

function reporter({ isTTY = false, columns = 80, level = 'info' }: Terminal = {}) {
  let now = 1_000
  const parts: string[] = []
  const created = createReporter({
    stream: { write: (text) => parts.push(text), isTTY, columns },
    clock: { now: () => now, monotonic: () => now, sleep: () => Promise.reject(new Error('not asked for')) },
    level,
    style: plain,
  })
  return {
    report: (event: RunEvent) => created.report(event),
    close: () => created.close(),
    written: () => parts.join(''),
    advance: (ms: number) => {
      now += ms
    },
  }
}
