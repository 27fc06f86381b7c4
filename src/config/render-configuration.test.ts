import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import { parseClusterName, parseRepoName } from '../domain/cluster-name.ts'
import { configurationSchema } from './configuration-schema.ts'
import { renderConfiguration } from './render-configuration.ts'

const main = { name: parseClusterName('main'), connection: `host='/a b' user=postgres options='# "x": y'` }
const local = { name: parseRepoName('local'), location: 'posix:/backup', keyFile: '/etc/local.key' }

describe('renderConfiguration', () => {
  test('writes what loading understands', () => {
    const text = renderConfiguration({
      cluster: { ...main, runAs: 'postgres', dataDirectory: '/data' },
      repo: local,
    })

    const { clusters, repos } = configurationSchema.parse(parse(text))
    assert.deepEqual(Object.values(clusters), [
      {
        connection: main.connection,
        runAs: 'postgres',
        dataDirectory: '/data',
        logicalOnly: false,
        links: 'error',
      },
    ])
    assert.deepEqual(Object.values(repos), [
      { location: 'posix:/backup', keyFile: '/etc/local.key', encryption: 'required' },
    ])
  })

  test('writes what makes a cluster one of dumps only, and where its password is', () => {
    const text = renderConfiguration({
      cluster: { ...main, passfile: '/etc/pass', isLogicalOnly: true },
      repo: local,
    })

    const [cluster] = Object.values(configurationSchema.parse(parse(text)).clusters)
    assert.deepEqual([cluster?.logicalOnly, cluster?.passfile], [true, '/etc/pass'])
  })

  test('writes comments that loading understands once they are not comments any more', () => {
    const text = renderConfiguration({ cluster: main, repo: { ...local, keyFile: undefined } })
    const [, often = ''] = text.split('unless said otherwise.\n')
    const uncommented = text.replace(often, often.replaceAll(/^# /gm, ''))

    const configuration = configurationSchema.parse(parse(uncommented))
    assert.equal(configuration.backup.maxRate, 100 * 1024 * 1024)
    const { maxRate: _, ...backup } = configuration.backup
    assert.deepEqual(backup, configurationSchema.parse({}).backup)
    assert.deepEqual(configuration.archive, configurationSchema.parse({}).archive)
  })

  test('names a schema that is there', () => {
    const [, url = ''] = /\$schema=(\S+)/.exec(renderConfiguration({ cluster: main, repo: local })) ?? []

    assert.ok(existsSync(fileURLToPath(url)))
  })
})
