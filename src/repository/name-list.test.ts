import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { anyMutation, readsOrRefuses } from '../../test/support/repository-samples.ts'
import { testClusterRecord, testContext, testRepository } from '../../test/support/repository.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { toLsn } from '../domain/lsn.ts'
import { toTimelineId } from '../domain/timeline.ts'
import { nameListKey, parseNameListKey } from './name-list-key.ts'
import {
  NameListWriter,
  openNameList,
  readNameList,
  type NamedRelation,
  type NameListEntry,
} from './name-list.ts'

const context = testContext()
const moment = { timeline: toTimelineId(3), lsn: toLsn(0x12_3456_789an) }

describe('a list of names', () => {
  test('gives back what was added, in its order, however long it is', async () => {
    const repository = await testRepository(context)
    const { id } = await testClusterRecord(repository, context)
    const relations = Array.from({ length: 30_000 }, (_, index) => relation(index))
    const databases = [
      { oid: 5, name: 'shop "Ä"', problem: '' },
      { oid: 6, name: 'closed', problem: 'it allows no connections' },
    ]

    const writer = new NameListWriter(repository, id, moment)
    for (const each of relations) writer.add(each)
    for (const each of databases) writer.addDatabase(each)
    writer.addSchema({ database: 5, oid: 16_400, name: 'old' })
    writer.addPartition({ database: 5, oid: 16_401, schema: 'old', name: 'orders' })
    await writer.finish(context)

    const read = [...((await readNameList(repository, { clusterId: id, moment }, context)) ?? [])]
    const expected: NameListEntry[] = [
      ...relations.map((each) => ({ kind: 'relation' as const, relation: each })),
      ...databases.map((each) => ({ kind: 'database' as const, database: each })),
      { kind: 'schema', schema: { database: 5, oid: 16_400, name: 'old' } },
      { kind: 'partition', partition: { database: 5, oid: 16_401, schema: 'old', name: 'orders' } },
    ]
    assert.deepEqual(read, expected)
  })

  test('holds very many databases', async () => {
    const repository = await testRepository(context)
    const { id } = await testClusterRecord(repository, context)
    const problem = 'it allows no connections, and says so at length'.padEnd(200, '.')
    const writer = new NameListWriter(repository, id, moment)
    for (let oid = 1; oid <= 10_000; oid += 1) writer.addDatabase({ oid, name: `database ${oid}`, problem })
    await writer.finish(context)

    const read = [...((await readNameList(repository, { clusterId: id, moment }, context)) ?? [])]

    assert.equal(read.length, 10_000)
  })

  test('is absent when there is none, and its key tells the moment', async () => {
    const repository = await testRepository(context)

    assert.equal(await readNameList(repository, { clusterId: 'ab12', moment }, context), undefined)
    assert.equal(nameListKey('ab12', moment), 'ab12/names/00000003/000000123456789A')
    assert.deepEqual(parseNameListKey('ab12', nameListKey('ab12', moment)), moment)
    for (const key of [
      'ab12/names/00000003/12',
      'ab12/names/00000000/000000123456789A',
      'cd/names/x',
      'ab12/wal/x',
    ])
      assert.equal(parseNameListKey('ab12', key), undefined)
  })

  test('is refused as damaged, or read, whatever is done to its bytes', async () => {
    const repository = await testRepository(context, { unlocker: undefined })
    const writer = new NameListWriter(repository, 'ab12', moment)
    writer.addDatabase({ oid: 5, name: 'shop', problem: '' })
    for (let index = 0; index < 50; index += 1) writer.add(relation(index))
    await writer.finish(context)
    const key = nameListKey('ab12', moment)
    const bytes = (await repository.store.get(key)) ?? assert.fail()

    for (let length = 0; length < bytes.length; length += 1) {
      const open = (): unknown => [...openNameList(bytes.subarray(0, length), repository, key)]
      assert.throws(open, (error) => isOperationError(error, 'damaged'))
    }
    fc.assert(
      fc.property(anyMutation, (mutate) => {
        readsOrRefuses(() => [...openNameList(mutate(bytes), repository, key)])
      }),
    )
  })
})

function relation(index: number): NamedRelation {
  return {
    tablespace: 1663,
    database: 5,
    relation: 16_384 + index,
    oid: 4_000_000_000 - index,
    kind: 'rimtS'.charAt(index % 5),
    schema: 'public',
    name: `relation ${index}`,
    rows: index % 3 === 0 ? undefined : index * 1_000_000,
  }
}
