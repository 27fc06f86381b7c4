import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { configurationJsonSchema, knownKeys, listSettings } from './settings.ts'

const docs = new URL('../../docs/', import.meta.url)

describe('the settings', () => {
  test('each have a description that is a sentence', () => {
    for (const { path, description } of listSettings())
      assert.match(description, /^[A-Z].*[.]$/, path.join('.'))
  })

  test('are all told in docs/configuration.md, with their defaults', () => {
    const guide = readFileSync(new URL('configuration.md', docs), 'utf8')

    for (const { path, default: preset } of listSettings()) {
      const row = guide
        .split('\n')
        .find((line) => line.startsWith(`| \`${path.join('.').replace('*', 'NAME')}\``))
      assert.ok(row !== undefined, `no row for ${path.join('.')}`)
      assert.ok(
        preset === undefined || row.includes(`\`${String(preset)}\``),
        `${row} lacks ${String(preset)}`,
      )
    }
  })

  test('are all in docs/holdfast.schema.json (write it anew with "holdfast config schema")', () => {
    const written: unknown = JSON.parse(readFileSync(new URL('holdfast.schema.json', docs), 'utf8'))

    assert.deepEqual(written, structuredClone(configurationJsonSchema()))
  })
})

describe('knownKeys', () => {
  test('gives the keys of a section, below any name of a cluster or repo', () => {
    assert.deepEqual(knownKeys(['restore']), ['workers'])
    assert.ok(knownKeys(['clusters', 'whatever']).includes('connection'))
    assert.deepEqual(knownKeys(['clusters']), [])
    assert.deepEqual(knownKeys(['restore', 'workers', 'deeper']), [])
  })
})
