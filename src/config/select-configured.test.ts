import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { configurationSchema } from './configuration-schema.ts'
import type { Configuration } from './configuration-schema.ts'
import { reposOfCluster, selectCluster, selectRepo } from './select-configured.ts'

describe('selectCluster', () => {
  test('needs no name when there is one cluster', () => {
    assert.equal(selectCluster(configured(['main'], [])).name, 'main')
  })

  test('takes the one of the name', () => {
    assert.equal(selectCluster(configured(['main', 'other'], []), 'other').name, 'other')
  })

  test('lists the names when there are several and none is named', () => {
    assert.throws(() => selectCluster(configured(['main', 'other'], [])), {
      code: 'usage',
      message: 'choosing a cluster: expected --cluster, found several configured: "main", "other"',
    })
  })

  test('finds the name that was probably meant', () => {
    assert.throws(() => selectCluster(configured(['main', 'other'], []), 'othre'), {
      code: 'usage',
      message: 'choosing a cluster: expected one of the configured ones ("main", "other"), found "othre"',
      hint: 'Did you mean "other"?',
    })
  })

  test('is not fooled by names that every object has', () => {
    assert.throws(() => selectCluster(configured(['main'], []), 'constructor'), { code: 'usage' })
    assert.throws(() => selectCluster(configured([], [])), { code: 'usage', message: /found none/ })
  })
})

describe('selectRepo', () => {
  test('needs no name when there is one repo', () => {
    assert.equal(selectRepo(configured([], ['local'])).location, 'posix:/local')
  })
})

describe('reposOfCluster', () => {
  test('gives all repos in the order of the file when the cluster names none', () => {
    const configuration = configured(['main'], ['b', 'a'])

    assert.deepEqual(names(configuration), ['b', 'a'])
  })

  test('gives the ones that the cluster names, in its order', () => {
    const configuration = configured(['main'], ['a', 'b', 'c'], ['c', 'a'])

    assert.deepEqual(names(configuration), ['c', 'a'])
  })
})

function names(configuration: Configuration): readonly string[] {
  return reposOfCluster(configuration, selectCluster(configuration)).map(({ name }) => name)
}

function configured(
  clusters: readonly string[],
  repos: readonly string[],
  used?: readonly string[],
): Configuration {
  return configurationSchema.parse({
    clusters: Object.fromEntries(clusters.map((name) => [name, { connection: 'host=db', repos: used }])),
    repos: Object.fromEntries(
      repos.map((name) => [name, { location: `posix:/${name}`, encryption: 'none' }]),
    ),
  })
}
