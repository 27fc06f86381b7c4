import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { VerifyDocument } from '../../src/api/verify-document.ts'
import { archiveEverything } from '../support/archive-everything.ts'
import { giveTree } from '../support/give-tree.ts'
import { expectOk, runHoldfast, type HoldfastResult } from '../support/holdfast.ts'
import { createScratch, type Scratch } from '../support/scratch.ts'
import { startUserSite, type UserSite } from '../support/user-site.ts'
import { damages, type DamageName, type Objects } from './damages.ts'

// U2, X2, X3: the same damage as in the sweep, in a repository of a real server, seen by whoever types a command.
describe('the command line, with a repository that is damaged,', () => {
  let scratch: Scratch
  let site: UserSite
  let labels: readonly [older: string, newer: string]
  let objects: Objects

  before(async () => {
    scratch = await createScratch('corruption')
    site = await startUserSite({ major: 17, scratch })
    labels = [await takeBackup(site), await takeBackup(site)]
    await branchOff(site)
    objects = await readObjects(site.repository)
  })
  after(async () => {
    await site[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  /** Damages the newer backup's object among those that fit, or the first, runs the test, and brings the object back. */
  async function withDamage(
    pattern: RegExp,
    name: DamageName,
    act: (key: string) => Promise<void>,
  ): Promise<void> {
    const keys = [...objects.keys()].filter((candidate) => pattern.test(candidate))
    const key = keys.find((candidate) => candidate.includes(labels[1])) ?? keys[0]
    assert.ok(key !== undefined, `no object fits ${String(pattern)}`)
    const sibling =
      keys.find((candidate) => candidate.includes(labels[0])) ?? keys.find((other) => other !== key)
    const damaged = damages[name](objects, { key, sibling, older: sibling, otherName: `${key}x` })
    assert.ok(damaged)
    await writeObjects(objects, damaged)
    try {
      await act(key)
    } finally {
      await writeObjects(damaged, objects)
    }
  }

  async function writeObjects(from: Objects, to: Objects): Promise<void> {
    const changed = [...new Set([...from.keys(), ...to.keys()])].filter(
      (key) => from.get(key) !== to.get(key),
    )
    for (const key of changed) {
      const path = join(site.repository, key)
      const bytes = to.get(key)
      if (bytes === undefined) await rm(path)
      else {
        await mkdir(dirname(path), { recursive: true })
        await writeFile(path, bytes, { mode: 0o600 })
      }
    }
    await giveTree(site.repository, scratch.user)
  }

  const restore = (...options: readonly string[]): Promise<HoldfastResult> =>
    site.run('restore', '--target-dir', join(site.folder, 'restored'), ...options)

  /** As the server would: as its user. */
  const get = (name: string, destination: string): Promise<HoldfastResult> =>
    runHoldfast(['archive-get', name, destination], { config: site.configuration, asUser: scratch.user })

  /** The last segment that both backups need: it is behind the newer one's start. */
  const lastSegment = (): string => {
    const segments = [...objects.keys()].flatMap((key) => /\/(000000010{8}[0-9A-F]{8})-/.exec(key)?.[1] ?? [])
    return segments.toSorted().at(-1) ?? assert.fail()
  }

  const planned: readonly (readonly [what: string, RegExp, DamageName, exitCode: number, says?: RegExp])[] = [
    ['the header', /^holdfast$/, 'its last bit flipped', 4, /the header of the repository/],
    ['the header', /^holdfast$/, 'all of it cut off', 2, /the header of the repository|not a holdfast/],
    ['the header', /^holdfast$/, 'deleted', 2, /expected a repository/],
    ['the key slot', /^keys\//, 'a bit in its middle flipped', 2, /not one of its keys/],
    ['the key slot', /^keys\//, 'half of it cut off', 4],
    ['the cluster record', /^clusters\//, 'its last byte cut off', 4],
    ['the cluster record', /^clusters\//, 'deleted', 2, /the repository knows no cluster/],
    ['the catalogue', /\/catalog\/0000000002$/, 'a bit in its middle flipped', 4],
    ['the catalogue', /\/catalog\/0000000002$/, 'other bytes in its place', 4],
    ['a manifest', /\/manifest$/, 'junk behind it', 4],
    ['a manifest', /\/manifest$/, 'a sibling swapped with it', 4],
    ['a manifest', /\/manifest$/, 'deleted', 4],
    ['a part of a manifest', /\/part-0001$/, '4 kB of zeros in its middle', 4],
    ['a part of a manifest', /\/part-0001$/, 'an older one in its place', 4],
    ['a pack', /\/data\//, 'deleted', 4],
    ['a pack', /\/data\//, 'its last byte cut off', 4],
  ]
  for (const [what, pattern, damage, exitCode, says] of planned) {
    test(`refuses to plan a restore from ${what}: ${damage}`, async () => {
      await withDamage(pattern, damage, async (key) => {
        const result = await restore('--dry-run', '--backup', labels[1], '--target-immediate')

        assert.equal(result.code, exitCode, result.stderr)
        expectOneError(result, says ?? new RegExp(asPattern(key)))
        assert.ok(!existsSync(join(site.folder, 'restored')))
      })
    })
  }

  for (const damage of [
    'a bit in its middle flipped',
    'a sibling swapped with it',
    'other bytes in its place',
  ] as const) {
    test(`leaves nothing that can be started when a pack turns out to have ${damage}`, async () => {
      await withDamage(/\/data\//, damage, async (key) => {
        const result = await restore('--files-only', '--backup', labels[1], '--target-immediate')

        assert.equal(result.code, 4, result.stderr)
        expectOneError(result, new RegExp(`${labels[1]}.*${asPattern(key)}`))
        assert.ok(!existsSync(join(site.folder, 'restored/global/pg_control')))
        await rm(join(site.folder, 'restored'), { recursive: true, force: true })
      })
    })
  }

  test('restores the other backup', async () => {
    await withDamage(/\/data\//, 'deleted', async () => {
      expectOk(await restore('--dry-run', '--backup', labels[0], '--target-immediate'))
    })
  })

  for (const damage of [
    'its first bit flipped',
    'a bit in its middle flipped',
    'half of it cut off',
  ] as const) {
    test(`says that it does not know, never "absent", for a segment that has ${damage}`, async () => {
      const name = lastSegment()
      await withDamage(new RegExp(`/${name}-`), damage, async () => {
        const destination = join(site.folder, 'RECOVERYXLOG')
        const result = await get(name, destination)

        assert.ok((result.code ?? 0) >= 126, `exit code ${result.code}`)
        expectOneError(result, new RegExp(name))
        assert.ok(!existsSync(destination))
      })
    })
  }

  test('says that it does not know for a history file that is damaged (X5)', async () => {
    await withDamage(/\/00000002\.history-/, 'its last bit flipped', async () => {
      const result = await get('00000002.history', join(site.folder, 'RECOVERYHISTORY'))

      assert.ok((result.code ?? 0) >= 126, `exit code ${result.code}`)
      expectOneError(result, /00000002\.history/)
      const planning = await restore('--dry-run', '--target-timeline', '2')
      assert.equal(planning.code, 4, planning.stderr)
      expectOneError(planning, /00000002\.history/)
    })
  })

  test('names the segment that is missing and where that leaves the target (X5)', async () => {
    const name = lastSegment()
    await withDamage(new RegExp(`/${name}-`), 'deleted', async () => {
      const result = await restore('--dry-run', '--backup', labels[1], '--target-timeline', '2')

      assert.equal(result.code, 3, result.stderr)
      expectOneError(result, new RegExp(name))
    })
  })

  test('does not promote a recovery that meets a damaged segment (U2, R40)', async () => {
    const name = lastSegment()
    await withDamage(new RegExp(`/${name}-`), 'a bit in its middle flipped', async (key) => {
      const result = await restore('--backup', labels[0], '--target-timeline', '2')

      assert.notEqual(result.code, 0, result.stderr)
      assert.match(result.stderr, new RegExp(`${name}|${asPattern(key)}`))
      await rm(join(site.folder, 'restored'), { recursive: true, force: true })
    })
  })

  test('restores everything when all objects are as they were', async () => {
    await using restored = await site.restore('restored', '--target-timeline', '2')
    assert.deepEqual(await restored.query('select count(*)::int as count from kept'), [{ count: 3 }])
  })

  const proven: readonly (readonly [what: string, RegExp, DamageName])[] = [
    ['a manifest', /\/manifest$/, 'deleted'],
    ['a part of a manifest', /\/part-0001$/, 'a sibling copied over it'],
    ['a pack', /\/data\//, 'its last bit flipped'],
    ['a WAL segment', /\/000000010{8}[0-9A-F]{8}-/, 'a bit in its middle flipped'],
    ['the catalogue', /\/catalog\/0000000002$/, 'half of it cut off'],
  ]
  for (const [what, pattern, damage] of proven) {
    test(`verify exits with 4 and names ${what} (${damage}) and what it costs (X1, X4)`, async () => {
      await withDamage(pattern, damage, async (key) => {
        const result = await site.run('--output', 'json', 'verify', '--all')

        assert.equal(result.code, 4, result.stderr)
        const { repos } = JSON.parse(result.stdout) as VerifyDocument
        const found = repos.flatMap((repo) => repo.damage).find((one) => one.key === key)
        assert.ok(found !== undefined, result.stdout)
        if (key.includes(labels[1])) assert.deepEqual(found.backups, [labels[1]])
      })
    })
  }

  test('verify is content when all objects are as they were', async () => {
    expectOk(await site.run('verify', '--all'))
  })
})

function expectOneError({ stderr }: HoldfastResult, says: RegExp): void {
  const errors = stderr.split('\n').filter((line) => line.startsWith('error:'))
  assert.equal(errors.length, 1, stderr)
  assert.match(errors[0] ?? '', says)
}

async function takeBackup(site: UserSite): Promise<string> {
  await site.server.query('create table if not exists kept (id int)')
  await site.server.query('insert into kept values (1)')
  const label = await site.backup('--type', 'full')
  await site.switchWal()
  return label
}

/** Promotes a copy that goes on with the lineage, so that the archive holds a history file of a real server. */
async function branchOff(site: UserSite): Promise<void> {
  await using promoted = await site.restore('branch', '--continue-lineage')
  await promoted.query('insert into kept values (2)')
  await archiveEverything(promoted)
}

async function readObjects(folder: string): Promise<Objects> {
  const objects = new Map<string, Uint8Array>()
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const key = path.slice(folder.length + 1)
    if (entry.isFile() && !key.startsWith('.')) objects.set(key, await readFile(path))
  }
  return objects
}

/** A key has no other character that a pattern takes for something else. */
const asPattern = (key: string): string => key.replaceAll('.', String.raw`\.`)
