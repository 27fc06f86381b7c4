import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createPlace } from '../../test/support/archive-fixture.ts'
import { FaultyStore } from '../../test/support/faulty-store.ts'
import { ManualClock } from '../../test/support/manual-clock.ts'
import { testContext } from '../../test/support/repository.ts'
import { collect } from '../../test/support/repository-samples.ts'
import { listKeys } from '../../test/support/stored-cluster.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import { instantFromMs } from '../domain/target-time.ts'
import { MemoryStore } from '../storage/memory/memory-store.ts'
import { readCatalogue } from './catalogue.ts'
import { readDumpHead, readMember } from './dump-reader.ts'
import { openDumpWriter } from './dump-writer.ts'
import { acquireDumpLease, chooseDumpLabel, publishDump } from './take-dump.ts'

/** As a command does it. */
async function takeDump(place: ArchivePlace, context: RunContext): Promise<void> {
  await using lease = await acquireDumpLease(place, context)
  const label = await chooseDumpLabel(place, context)
  const writer = openDumpWriter(place, { label, lease }, context)
  try {
    for (const name of ['one', 'two']) {
      const member = { name, kind: 'database', database: name, format: 'plain' }
      await writer.writeMember(member, once(`content of ${name}`))
    }
    const moment = instantFromMs(context.clock.now())
    const dump = await writer.finish({ startedAt: moment, stoppedAt: moment, facts: {} })
    await publishDump({ place, lease, dump }, context)
  } catch (error) {
    await writer.discard()
    throw error
  }
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

/** The contents of all listed dumps; throws when one is not whole. */
async function readAll(place: ArchivePlace, context: RunContext): Promise<readonly string[]> {
  const { dumps } = await readCatalogue(place.repository, place.cluster.id, context)
  const contents: string[] = []
  for (const entry of dumps) {
    for (const member of (await readDumpHead(place, entry, context)).members)
      contents.push(Buffer.concat(await collect(readMember(place, { entry, member }, context))).toString())
  }
  return contents
}

const whole = ['content of one', 'content of two']

describe('a dump', () => {
  for (const when of ['before', 'after'] as const)
    test(`is listed and whole or not listed at all, wherever the store fails ${when} it does something`, async () => {
      for (let call = 1, isStruck = true; isStruck; call += 1) {
        const clock = new ManualClock()
        const context = testContext({ clock })
        const place = await createPlace({ store: new MemoryStore('dumps', clock) })
        const store = new FaultyStore(place.repository.store)
        store.plan({ kind: 'fail', error: new Error(`call ${call} failed`), when, at: { call } })
        const faulty = { ...place, repository: { ...place.repository, store } }

        await takeDump(faulty, context).catch(() => undefined)

        isStruck = store.calls.some(({ fault }) => fault !== undefined)
        const contents = await readAll(place, context)
        assert.ok([0, whole.length].includes(contents.length), `call ${call}`)
        assert.deepEqual(contents, whole.slice(0, contents.length))
        clock.skip(600_000)
        await takeDump(place, context)
        assert.deepEqual(await readAll(place, context), [...contents, ...whole])
        assert.ok((await listKeys(place, 'dump')).length <= 6, `call ${call} left too much`)
      }
    })
})
