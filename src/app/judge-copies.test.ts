import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { judgeCopies, judgeDumpCopies, type CopyPlace } from './judge-copies.ts'

const [monday, tuesday] = ['20260216-030000F', '20260217-030000I'].map(parseBackupLabel) as [
  CopyPlace['labels'][number],
  CopyPlace['labels'][number],
]

describe('judgeCopies', () => {
  test('finds the rule kept with two repositories, one of them off site and drilled', () => {
    const places = [
      place({ name: 'a', medium: 'disk 2' }),
      place({ name: 'b', medium: 's3', isOffSite: true, isLocked: true }),
    ]

    const [rule, ...others] = judgeCopies(places, 'disk 1')

    assert.equal(rule?.state, 'ok')
    assert.match(rule.message, /in a, b: 3 copies with the cluster, on 3 media, 1 off site, 1 locked/)
    assert.deepEqual(others, [])
  })

  test('says what is lacking, and alarms nobody', () => {
    const [rule] = judgeCopies([place({ name: 'a', medium: 'disk 1', isDrilled: false })], 'disk 1')

    assert.equal(rule?.state, 'info')
    assert.match(
      rule.message,
      /on 1 medium, 0 off site, 0 locked; lacking: a second repository.*, a second medium, a copy off site, a restore that was tried/,
    )
  })

  test('warns of a repository that has fallen behind, and does not count it', () => {
    const places = [place({ name: 'a' }), place({ name: 'b', labels: [monday], isOffSite: true })]

    const [rule, lag] = judgeCopies(places, undefined)

    assert.match(rule?.message ?? '', /in a: 2 copies with the cluster/)
    assert.deepEqual([lag?.name, lag?.state], ['copies in repo b', 'warning'])
    assert.match(lag?.message ?? '', /lacks the newest backup/)
  })

  test('has nothing to say before the first backup', () => {
    assert.deepEqual(judgeCopies([place({ labels: [] })], 'disk 1'), [])
  })
})

describe('judgeDumpCopies', () => {
  test('counts the server as a copy, and does not ask for a restore that was tried', () => {
    const places = [place({ name: 'a', isDrilled: false }), place({ name: 'b', labels: [] })]

    const [rule, ...others] = judgeDumpCopies(places, 'server db.example.com')

    assert.match(
      rule?.message ?? '',
      /^the newest dump is in a: 2 copies with the cluster, on 2 media, .*; lacking: a second repository with the newest dump, a copy off site$/,
    )
    assert.deepEqual(others, [])
    assert.deepEqual(judgeDumpCopies([place({ labels: [] })], undefined), [])
  })
})

function place(changes: Partial<CopyPlace>): CopyPlace {
  return {
    name: 'a',
    labels: [tuesday, monday],
    medium: 'disk 2',
    isLocked: false,
    isOffSite: false,
    isDrilled: true,
    ...changes,
  }
}
