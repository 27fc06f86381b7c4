import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AnswerFault } from '../answer-fault.ts'
import { chooseVersions } from './choose-versions.ts'
import type { KeyVersion } from './version-requests.ts'

describe('chooseVersions', () => {
  test('takes of each key the newest version that is not younger than the moment', async () => {
    const versions = [stored('a', 30), stored('a', 20), stored('a', 10), stored('b', 40), stored('c', 20)]

    assert.deepEqual(await chosenAt(20, versions), ['a@20', 'c@20'])
  })

  test('leaves out what was deleted by then, and has what was deleted later', async () => {
    const versions = [deleted('a', 20), stored('a', 10), deleted('b', 30), stored('b', 10)]

    assert.deepEqual(await chosenAt(20, versions), ['b@10'])
    assert.deepEqual(await chosenAt(30, versions), [])
  })

  test('has an object again that was stored after it was deleted', async () => {
    assert.deepEqual(await chosenAt(30, [stored('a', 30), deleted('a', 20), stored('a', 10)]), ['a@30'])
  })

  test('takes for there what was stored and deleted in one tick of the clock', async () => {
    assert.deepEqual(await chosenAt(20, [deleted('a', 20), stored('a', 20), stored('a', 10)]), ['a@20'])
  })

  test('goes on with the versions of a key on the next page', async () => {
    const versions = [stored('a', 40), stored('a', 30), stored('a', 20), deleted('b', 20), stored('b', 10)]

    assert.deepEqual(await chosenAt(20, versions, 1), ['a@20'])
    assert.deepEqual(await chosenAt(10, versions, 2), ['b@10'])
  })

  test('takes no listing that goes back or in circles', async () => {
    await assert.rejects(chosenAt(20, [stored('b', 10), stored('a', 10)]), AnswerFault)
    const circle = chooseVersions(
      () => Promise.resolve({ versions: [], next: { key: 'a', versionId: 'v' } }),
      20,
    )
    await assert.rejects(circle.next(), AnswerFault)
  })
})

const stored = (key: string, modifiedAtMs: number): KeyVersion => ({
  key,
  versionId: `${modifiedAtMs}`,
  modifiedAtMs,
  sizeBytes: 1,
  isDeletion: false,
})

const deleted = (key: string, modifiedAtMs: number): KeyVersion => ({
  ...stored(key, modifiedAtMs),
  isDeletion: true,
})

async function chosenAt(atMs: number, versions: readonly KeyVersion[], pageSize = 1000): Promise<string[]> {
  let position = 0
  const askPage = () => {
    const page = versions.slice(position, position + pageSize)
    position += pageSize
    const next = position < versions.length ? { key: `${position}`, versionId: undefined } : undefined
    return Promise.resolve({ versions: page, next })
  }
  const chosen: KeyVersion[] = []
  for await (const version of chooseVersions(askPage, atMs)) chosen.push(version)
  return chosen.map(({ key, versionId }) => `${key}@${versionId}`)
}
