// Writes test/golden/dump-v1/{sealed,plain}: what a dump adds to the golden repositories, an object for each file, at the path
// that is its key. To be run once for a format version. Salts are random, so a second run would give other bytes: it refuses.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { RunContext } from '../src/domain/run-context.ts'
import { systemClock } from '../src/platform/system-clock.ts'
import { openDumpWriter } from '../src/repository/dump-writer.ts'
import { catalogKey, dumpPrefix } from '../src/repository/object-keys.ts'
import { openRepository } from '../src/repository/open-repository.ts'
import { acquireDumpLease, publishDump } from '../src/repository/take-dump.ts'
import {
  goldenDumpEntry,
  goldenDumpFolder,
  goldenDumpLabel,
  goldenKnown,
  goldenMembers,
} from '../test/support/golden-dump.ts'
import {
  goldenCluster,
  goldenCreatedAtMs,
  goldenKeyFile,
  goldenStore,
  type GoldenName,
} from '../test/support/golden-repository.ts'

const context: RunContext = {
  signal: new AbortController().signal,
  clock: { ...systemClock, now: () => goldenCreatedAtMs + 9000 },
  report: () => undefined,
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

async function write(name: GoldenName): Promise<void> {
  const folder = join(goldenDumpFolder, name)
  assert.ok(!existsSync(folder), `${folder} exists: golden files are never written again`)
  const store = await goldenStore(name)
  const unlocker = name === 'sealed' ? goldenKeyFile : undefined
  const place = {
    repository: await openRepository(store, { unlocker }, context),
    cluster: goldenCluster(name),
  }
  await using lease = await acquireDumpLease(place, context)
  const writer = openDumpWriter(place, { label: goldenDumpLabel, lease }, context)
  for (const { text, ...member } of goldenMembers) await writer.writeMember(member, once(text))
  await publishDump({ place, lease, dump: await writer.finish(goldenKnown) }, context)
  const { id } = place.cluster
  for (const prefix of [dumpPrefix(id, goldenDumpLabel), catalogKey(id, goldenDumpEntry)]) {
    for await (const { key } of store.list(prefix, context)) {
      mkdirSync(dirname(join(folder, key)), { recursive: true })
      writeFileSync(join(folder, key), (await store.get(key)) ?? assert.fail())
    }
  }
}

for (const name of ['sealed', 'plain'] as const) await write(name)
