import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { readCatalogue } from '../src/repository/catalogue.ts'
import { encodeDumpHead } from '../src/repository/dump-head.ts'
import { readDumpHead, readMember, type DumpPlace } from '../src/repository/dump-reader.ts'
import { catalogKey, dumpHeadKey, dumpPartKey } from '../src/repository/object-keys.ts'
import { openRepository } from '../src/repository/open-repository.ts'
import { readObject } from '../src/repository/sealed-store.ts'
import {
  goldenDumpEntry,
  goldenDumpFolder,
  goldenDumpLabel as label,
  goldenDumpStore,
  goldenKnown,
  goldenMembers,
} from './support/golden-dump.ts'
import { goldenCluster, goldenIncr, goldenKeyFile, type GoldenName } from './support/golden-repository.ts'
import { testContext } from './support/repository.ts'
import { collect } from './support/repository-samples.ts'

const context = testContext()

async function openGolden(name: GoldenName): Promise<DumpPlace> {
  const unlocker = name === 'sealed' ? goldenKeyFile : undefined
  const repository = await openRepository(await goldenDumpStore(name), { unlocker }, context)
  return { repository, cluster: goldenCluster(name) }
}

async function onlyDump({ repository, cluster }: DumpPlace) {
  const { dumps } = await readCatalogue(repository, cluster.id, context)
  const [dump, ...others] = dumps
  assert.deepEqual(others, [])
  return dump ?? assert.fail()
}

for (const name of ['sealed', 'plain'] as const) {
  describe(`the golden dump (${name}, format 1)`, () => {
    test('is listed beside the backup', async () => {
      const { repository, cluster } = await openGolden(name)
      const { number, backups, dumps } = await readCatalogue(repository, cluster.id, context)

      assert.equal(number, goldenDumpEntry)
      assert.deepEqual(
        backups.map((backup) => backup.label),
        [goldenIncr],
      )
      assert.deepEqual(
        dumps.map(({ headDigest: _digest, ...dump }) => dump),
        [
          {
            label,
            startedAt: goldenKnown.startedAt,
            stoppedAt: goldenKnown.stoppedAt,
            databases: ['größe'],
            databaseCount: 1,
            formats: ['plain', 'custom'],
            rawBytes: 141,
            storedBytes: 596,
            isPinned: false,
          },
        ],
      )
    })

    test('gives its members and facts', async () => {
      const place = await openGolden(name)
      const entry = await onlyDump(place)
      const head = await readDumpHead(place, entry, context)

      assert.deepEqual(
        { startedAt: head.startedAt, stoppedAt: head.stoppedAt, facts: head.facts },
        goldenKnown,
      )
      for (const [index, { text, ...description }] of goldenMembers.entries()) {
        const member = head.members[index] ?? assert.fail()
        const { rawBytes: _bytes, digest: _digest, parts: _parts, ...rest } = member
        assert.deepEqual(rest, description)
        assert.equal(
          Buffer.concat(await collect(readMember(place, { entry, member }, context))).toString(),
          text,
        )
      }
    })

    test('has a head that is encoded as it is stored', async () => {
      const place = await openGolden(name)
      const key = dumpHeadKey(place.cluster.id, label)
      const payload = await readObject(place.repository, { kind: 'dump-head', key }, context)
      const head = await readDumpHead(place, await onlyDump(place), context)

      assert.equal(Buffer.from(encodeDumpHead(head)).toString(), Buffer.from(payload ?? []).toString())
    })
  })
}

const document = (name: string): string =>
  readFileSync(join(import.meta.dirname, `../docs/formats/${name}.md`), 'utf8')

describe('docs/formats', () => {
  const { id } = goldenCluster('plain')

  test('prints a part of the golden dump', () => {
    const printed = document('dump')
      .split('```text\n')
      .map((block) => block.split('```')[0]?.replaceAll(/\s|#.*$/gm, ''))
    const part = readFileSync(join(goldenDumpFolder, 'plain', dumpPartKey(id, { label, number: 1 })))

    assert.ok(printed.includes(part.toString('hex')))
  })

  test('prints its head, and the entry that lists it', async () => {
    const { repository } = await openGolden('plain')
    for (const [name, kind, key] of [
      ['dump', 'dump-head', dumpHeadKey(id, label)],
      ['catalogue', 'catalogue-entry', catalogKey(id, goldenDumpEntry)],
    ] as const) {
      const printed = document(name)
        .split('```json\n')
        .slice(1)
        .map((block) => JSON.stringify(JSON.parse(block.split('```')[0] ?? '')))
      const payload = await readObject(repository, { kind, key }, context)
      assert.ok(printed.includes(Buffer.from(payload ?? []).toString()), `${name} does not print it`)
    }
  })
})
