import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { auditDurability } from './audit-durability.ts'
import type { TapBegin, TapEvent } from './tap-settings.ts'

describe('auditDurability', () => {
  test('finds nothing wrong with write, sync, link, sync of the folder (K9)', () => {
    assert.deepEqual(violationsOf(publish), [])
  })

  test('misses each sync that is left out, and each that comes too early (K9)', () => {
    const [open, write, syncFile, link, syncFolder] = publish
    assert.ok(open && write && syncFile && link && syncFolder)

    assert.match(violationsOf([open, write, link, syncFolder])[0] ?? '', /^link of .* before what it holds/)
    assert.match(
      violationsOf([open, write, syncFile, link])[0] ?? '',
      /the name "\/repo\/object" is not synced/,
    )
    assert.match(violationsOf([open, syncFile, write, link, syncFolder])[0] ?? '', /^link of/)
    assert.match(violationsOf([open, write, syncFile, syncFolder, link])[0] ?? '', /the name/)
    assert.match(violationsOf([open, write, link, syncFile, syncFolder])[0] ?? '', /^link of/)
  })

  test('holds an acknowledgement to everything before it (R27)', () => {
    const acknowledge = step({ operation: 'rename', path: '/ack/.one', to: '/ack/one', inode: '7' })
    const early = violationsOf([...publish.slice(0, -1), acknowledge, ...publish.slice(-1)])

    assert.deepEqual(early, ['"/ack/one": the name "/repo/object" is not synced'])
    assert.deepEqual(violationsOf([...publish, acknowledge]), [])
  })

  test('does not count a sync that runs while the write does', () => {
    const begun = [...step({ operation: 'write', path: '/repo/object', inode: '1' })]
    const synced = [...step({ operation: 'fsync', path: '/repo/object', inode: '1' })]
    const created = step({ operation: 'open', path: '/repo/object', creates: true }, '1')
    const [writeBegins, writeEnds] = begun
    assert.ok(writeBegins && writeEnds)
    const events = [...created, writeBegins, ...synced, writeEnds, ...(publish[4] ?? [])]

    assert.match(violationsOf([events])[0] ?? '', /what "\/repo\/object" holds is not synced/)
  })

  test('takes a sync of a whole file system for one of everything on it that was done by then', () => {
    const write = step({ operation: 'write', path: '/repo/new', inode: '8:1' })
    const link = step({ operation: 'link', path: '/repo/new', to: '/repo/object', inode: '8:1', device: '8' })
    const syncSystem = (device: string): readonly TapEvent[] =>
      step({ operation: 'syncfs', path: '/repo', device })
    const [syncBegins, syncEnds] = syncSystem('8')
    assert.ok(syncBegins && syncEnds)

    assert.deepEqual(violationsOf([write, syncSystem('8'), link, syncSystem('8')]), [])
    assert.match(violationsOf([write, link, syncSystem('8')])[0] ?? '', /^link of .* before what it holds/)
    assert.match(violationsOf([write, syncSystem('8'), link])[0] ?? '', /the name .* is not synced/)
    assert.match(violationsOf([write, syncSystem('9'), link, syncSystem('8')])[0] ?? '', /^link of/)
    assert.match(violationsOf([write, syncSystem('8'), link, syncSystem('9')])[0] ?? '', /the name/)
    // One that fails has no end; one that began before the write ended does not cover it.
    assert.match(violationsOf([write, [syncBegins], link, syncSystem('8')])[0] ?? '', /^link of/)
    assert.match(violationsOf([[syncBegins], write, [syncEnds], link, syncSystem('8')])[0] ?? '', /^link of/)
  })

  test('forgets what was removed', () => {
    const [open, write] = publish
    assert.ok(open && write)

    assert.deepEqual(
      violationsOf([open, write, step({ operation: 'unlink', path: '/repo/new', inode: '1' })]),
      [],
    )
  })
})

let calls = 0

/** A call that begins and ends. */
function step(call: Omit<TapBegin, 'event' | 'call'>, madeInode?: string): readonly TapEvent[] {
  calls += 1
  return [
    { event: 'begin', call: calls, ...call },
    { event: 'end', call: calls, ...(madeInode !== undefined && { inode: madeInode }) },
  ]
}

const publish = [
  step({ operation: 'open', path: '/repo/new', creates: true }, '1'),
  step({ operation: 'write', path: '/repo/new', inode: '1' }),
  step({ operation: 'fsync', path: '/repo/new', inode: '1' }),
  step({ operation: 'link', path: '/repo/new', to: '/repo/object', inode: '1' }),
  step({ operation: 'fsync', path: '/repo', inode: '2' }),
]

function violationsOf(steps: readonly (readonly TapEvent[])[]): readonly string[] {
  const { violations } = auditDurability(steps.flat(), {
    isPromised: (path) => path.startsWith('/repo/') && path !== '/repo/new',
    isAcknowledgement: (path) => path.startsWith('/ack/'),
  })
  return violations
}
