import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { systemClock } from '../platform/system-clock.ts'
import { claimPlaces } from './claim-places.ts'
import type { RestorePlace } from './inspect-target.ts'
import { markerFile } from './restore-marker.ts'

const context: RunContext = {
  signal: new AbortController().signal,
  clock: systemClock,
  report: () => undefined,
}

describe('claimPlaces', () => {
  test('takes places that are as they were planned', async () => {
    using scratch = makeScratch()
    const path = join(scratch.folder, 'new')
    await claim({ path, state: 'vacant' })
    assert.deepEqual(readdirSync(path), [markerFile])

    const left = join(scratch.folder, 'left')
    await claim({ path: left, state: 'vacant' })
    writeFileSync(join(left, 'PG_VERSION'), '17')
    writeFileSync(join(left, markerFile), JSON.stringify({ systemIdentifier: '7' }))
    await claim({ path: left, state: 'interrupted' })
    // Another restore comes while this one works.
    await refuses({ path: left, state: 'interrupted' }, 'busy')
  })

  test('takes nothing that was filled since it was planned, and leaves it as it is (R59)', async () => {
    using scratch = makeScratch()
    writeFileSync(join(scratch.folder, 'PG_VERSION'), '17')

    await refuses({ path: scratch.folder, state: 'vacant' }, 'directory-occupied')
    await refuses({ path: scratch.folder, state: 'interrupted' }, 'directory-occupied')
    assert.deepEqual(readdirSync(scratch.folder), ['PG_VERSION'])
    rmSync(join(scratch.folder, 'PG_VERSION'))
    await refuses({ path: scratch.folder, state: 'interrupted' }, 'busy')
    assert.deepEqual(readdirSync(scratch.folder), [])
  })
})

type Planned = Pick<RestorePlace, 'path' | 'state'>

async function claim({ path, state }: Planned): Promise<void> {
  const request = {
    target: { kind: 'latest', action: 'promote' },
    targetDirectory: path,
    isDelta: false,
    tablespaceMap: [],
  }
  const places = [{ root: 0, name: '', path, state }]
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the parts of a plan that are looked at
  const plan = { request, places, backup: { label: '20260220-153000F' } } as unknown as Parameters<
    typeof claimPlaces
  >[0]['plan']
  const head = { systemIdentifier: '7', tablespaces: [] } as const
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a branded number that only has to be equal
  const typedHead = head as unknown as Parameters<typeof claimPlaces>[0]['head']
  await claimPlaces({ plan, head: typedHead, forbidden: { repository: undefined, home: undefined } }, context)
}

async function refuses(planned: Planned, code: 'busy' | 'directory-occupied'): Promise<void> {
  await assert.rejects(claim(planned), (error) => {
    assert.ok(isOperationError(error, code), String(error))
    return true
  })
}

function makeScratch(): Disposable & { readonly folder: string } {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'hf-places-')))
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
}
