import assert from 'node:assert/strict'
import { renameSync } from 'node:fs'
import { mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  buildSegment,
  createPlace,
  recordingContext,
  temporaryFolder,
} from '../../test/support/archive-fixture.ts'
import { runProcess } from '../platform/child-process.ts'
import { systemClock } from '../platform/system-clock.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { acknowledge, acknowledgementFolder, tidyAcknowledgements } from './acknowledgements.ts'
import { renderArchiveCommand, renderRestoreCommand } from './archive-command.ts'
import { fetchSegment } from './fetch-segment.ts'
import { pushAhead } from './push-ahead.ts'
import { shellQuote } from './shell-quote.ts'

const third = '000000010000000000000003'
const fourth = '000000010000000000000004'

describe('shellQuote', () => {
  test('makes one word of anything', async () => {
    const text = 'it\'s "a" $HOME `x` \\ %p\n*;&|<> end'
    const { stdout } = await runProcess('/bin/sh', ['-c', `printf %s ${shellQuote(text)}`])

    assert.equal(stdout.toString(), text)
  })
})

describe('renderArchiveCommand', () => {
  test('answers from an acknowledgement once, and starts the program after that (R27)', async () => {
    await using folder = await temporaryFolder()
    const run = await prepare(folder.path, 'exit 3')
    await acknowledge(join(folder.path, 'pg_wal'), {
      fileName: third,
      modifiedAtNs: await modifiedAt(folder.path),
    })

    assert.equal(await run(), 0)
    assert.equal(await run(), 3)
  })

  test('does not take an acknowledgement for a file that was written to since (R27)', async () => {
    await using folder = await temporaryFolder()
    const run = await prepare(folder.path, 'exit 3')
    await acknowledge(join(folder.path, 'pg_wal'), {
      fileName: third,
      modifiedAtNs: await modifiedAt(folder.path),
    })
    const later = Date.now() / 1000 + 1
    await utimes(join(folder.path, 'pg_wal', third), later, later)

    assert.equal(await run(), 3)
  })

  for (const [what, program] of [
    ['was killed', 'kill -9 $$'],
    ['is above 125', 'exit 126'],
  ] as const) {
    test(`exits 1 when the program ${what} (M12)`, async () => {
      await using folder = await temporaryFolder()

      assert.equal(await (await prepare(folder.path, program))(), 1)
    })
  }
})

describe('renderRestoreCommand', () => {
  test('moves a segment that was fetched ahead into place without the program, and asks it otherwise', async () => {
    await using folder = await temporaryFolder()
    await prepare(folder.path, 'exit 42')
    const prefetched = join(folder.path, 'pg_wal', 'holdfast-prefetch')
    await mkdir(prefetched)
    await writeFile(join(prefetched, third), 'x')
    const command = renderRestoreCommand({ ...partsIn(folder.path), mode: 'recovery' })
    const run = shellIn(folder.path, command, 'pg_wal/RECOVERYXLOG')

    assert.equal(await run(), 0)
    assert.equal((await stat(join(folder.path, 'pg_wal', 'RECOVERYXLOG'))).size, 1)
    assert.equal(await run(), 126)
  })

  for (const [what, end, code] of [
    ['comes', (folder: string) => writeFile(join(folder, third), 'x'), 0],
    ['does not come after all', (folder: string) => rm(join(folder, `.coming-${third}`)), 126],
    ['is not heard of any more', () => Promise.resolve(), 126],
  ] as const) {
    test(`waits for a segment that is being fetched ahead, until it ${what}`, async () => {
      await using folder = await temporaryFolder()
      await prepare(folder.path, 'exit 42')
      const prefetched = join(folder.path, 'pg_wal', 'holdfast-prefetch')
      await mkdir(prefetched)
      await writeFile(join(prefetched, `.coming-${third}`), '')
      const command = renderRestoreCommand({ ...partsIn(folder.path), mode: 'recovery' })
      const begin = performance.now()

      const running = shellIn(folder.path, command, 'pg_wal/RECOVERYXLOG')()
      await sleep(300)
      await end(prefetched)

      assert.equal(await running, code)
      const waitedMs = performance.now() - begin
      assert.ok(waitedMs >= 300 && waitedMs < 20_000, `it waited ${waitedMs} ms`)
    })
  }
})

describe('pushAhead', () => {
  test('pushes and acknowledges what waits, but not the file that was asked for (R27)', async () => {
    await using folder = await temporaryFolder()
    const walFolder = await waitingFiles(folder.path, [third, fourth])
    const place = await createPlace()

    const count = await pushAhead(join(walFolder, third), { repositories: [place] }, recordingContext())

    assert.equal(count, 1)
    assert.deepEqual(await readdir(join(walFolder, acknowledgementFolder)), [fourth])
  })

  test('pushes many files with threads, each of them so that it comes back byte for byte (R21, R27)', async () => {
    await using folder = await temporaryFolder()
    const names = Array.from({ length: 9 }, (_, index) => `00000001000000000000000${index + 1}`)
    const walFolder = await waitingFiles(folder.path, names)
    const places = [await createPlace(), await createPlace()]

    const count = await pushAhead(
      join(walFolder, '000000010000000000000001'),
      { repositories: places },
      recordingContext(),
    )

    assert.equal(count, 8)
    assert.deepEqual(await readdir(join(walFolder, acknowledgementFolder)), names.slice(1))
    for (const place of places) {
      for (const name of names.slice(1)) {
        const fetched = await fetchSegment({ name }, place, recordingContext())
        assert.ok(fetched.kind === 'found' && buildSegment(name).equals(fetched.bytes))
      }
    }
  })

  test('goes on with what comes while it pushes (R27)', async () => {
    await using folder = await temporaryFolder()
    const walFolder = await waitingFiles(folder.path, [third, fourth])
    const fifth = '000000010000000000000005'
    let looks = 0
    const monotonic = (): number => {
      looks += 1
      // The first look is at the beginning, the second when the first list is being worked through.
      if (looks === 2)
        renameSync(join(folder.path, 'later'), join(walFolder, 'archive_status', `${fifth}.ready`))
      return systemClock.monotonic()
    }
    await writeFile(join(walFolder, fifth), buildSegment(fifth))
    await writeFile(join(folder.path, 'later'), '')
    const places = { repositories: [await createPlace()] }
    const context = { ...recordingContext(), clock: { ...systemClock, monotonic } }

    const count = await pushAhead(join(walFolder, third), places, context)

    assert.equal(count, 2)
    assert.deepEqual(await readdir(join(walFolder, acknowledgementFolder)), [fourth, fifth])
  })

  test('gives up what hangs, also when nothing can interrupt it, and never throws (R27)', async () => {
    await using folder = await temporaryFolder()
    const walFolder = await waitingFiles(folder.path, [third, fourth])
    const store = new MemoryStore('archive', systemClock)
    const place = await createPlace({ store })
    store.putIfAbsent = () => Promise.withResolvers<never>().promise
    const context = recordingContext()

    const count = await pushAhead(
      join(walFolder, third),
      { repositories: [place] },
      { ...context, clock: { ...systemClock, sleep: sleepShortly } },
    )

    assert.equal(count, 0)
    assert.deepEqual(
      context.events.map(({ kind }) => kind),
      ['warning'],
    )
  })

  for (const [what, arrange] of [
    ['cannot be a folder', (folder: string) => writeFile(join(folder, acknowledgementFolder), '')],
    [
      'cannot be tidied',
      (folder: string) => mkdir(join(folder, acknowledgementFolder, third, 'x'), { recursive: true }),
    ],
    [
      'has no archive_status beside it',
      (folder: string) => rm(join(folder, 'archive_status'), { recursive: true }),
    ],
  ] as const) {
    test(`warns, and fails nothing that is archived, when the folder of acknowledgements ${what} (R27)`, async () => {
      await using folder = await temporaryFolder()
      const walFolder = await waitingFiles(folder.path, [third, fourth])
      await arrange(walFolder)
      const context = recordingContext()

      const count = await pushAhead(join(walFolder, third), { repositories: [await createPlace()] }, context)

      assert.equal(count, 0)
      assert.deepEqual(
        context.events.map(({ kind }) => kind),
        ['warning'],
      )
    })
  }

  test('acknowledges nothing that cannot be archived, and goes on being silent about it (R27)', async () => {
    await using folder = await temporaryFolder()
    const walFolder = await waitingFiles(folder.path, [third, fourth])
    await writeFile(join(walFolder, fourth), 'no WAL')
    const context = recordingContext()

    const count = await pushAhead(join(walFolder, third), { repositories: [await createPlace()] }, context)

    assert.equal(count, 0)
    assert.deepEqual(
      context.events.map(({ kind }) => kind),
      ['note'],
    )
  })
})

describe('tidyAcknowledgements', () => {
  test('removes those of files that do not wait any more or have changed', async () => {
    await using folder = await temporaryFolder()
    const walFolder = await waitingFiles(folder.path, [third, fourth])
    await acknowledge(walFolder, { fileName: third, modifiedAtNs: 0n })
    await acknowledge(walFolder, {
      fileName: fourth,
      modifiedAtNs: BigInt(Date.now()) * 1_000_000n + 10n ** 9n,
    })

    const kept = await tidyAcknowledgements(walFolder, () => true)
    const none = await tidyAcknowledgements(walFolder, () => false)

    assert.deepEqual([[...kept], [...none]], [[fourth], []])
    assert.deepEqual(await readdir(join(walFolder, acknowledgementFolder)), [])
  })
})

function sleepShortly(ms: number, signal: AbortSignal): Promise<void> {
  return systemClock.sleep(ms / 200, signal)
}

/** A data directory with one segment and a program that does as it is told; runs the command as PostgreSQL does. */
async function prepare(folder: string, program: string): Promise<() => Promise<number | undefined>> {
  await mkdir(join(folder, 'pg_wal'))
  await writeFile(join(folder, 'pg_wal', third), 'x')
  await writeFile(partsIn(folder).programPath, 'x')
  await writeFile(partsIn(folder).nodePath, `#!/bin/sh\n${program}\n`, { mode: 0o700 })
  return shellIn(folder, renderArchiveCommand(partsIn(folder)), `pg_wal/${third}`)
}

function shellIn(folder: string, command: string, path: string): () => Promise<number | undefined> {
  const replaced = command.replaceAll(
    /%([%fp])/g,
    (_, what: string) => ({ '%': '%', f: third, p: path })[what] ?? '',
  )
  return async () => (await runProcess('/bin/sh', ['-c', replaced], { cwd: folder })).exitCode
}

function partsIn(folder: string): Parameters<typeof renderArchiveCommand>[0] {
  return {
    nodePath: join(folder, 'it\'s "a" $HOME 100%p node'),
    programPath: join(folder, '100%f holdfast'),
    configFile: '/x/%f.yaml',
    cluster: 'main',
  }
}

async function modifiedAt(folder: string): Promise<bigint> {
  return (await stat(join(folder, 'pg_wal', third), { bigint: true })).mtimeNs
}

async function waitingFiles(folder: string, names: readonly string[]): Promise<string> {
  await mkdir(join(folder, 'archive_status'))
  for (const name of names) await addWaiting(folder, name)
  return folder
}

async function addWaiting(walFolder: string, name: string): Promise<void> {
  await writeFile(join(walFolder, name), buildSegment(name))
  await writeFile(join(walFolder, 'archive_status', `${name}.ready`), '')
}
