import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { temporaryFolder } from '../../test/support/archive-fixture.ts'
import { parseBackupLabel } from '../domain/backup-label.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { refuseLaterTablespaces } from './refuse-later-tablespaces.ts'

describe('refuseLaterTablespaces', () => {
  test('refuses while the cluster has a tablespace that the backup has not (R14)', async () => {
    await using site = await makeSite()

    await assert.rejects(check(site, {}), (error) => {
      assert.ok(isOperationError(error, 'path-unsafe'))
      assert.ok(error.message.includes(`tablespace 200 in "${site.space}"`), error.message)
      return true
    })
  })

  test('finds the cluster by a process that stands in it when the configuration does not name it', async () => {
    await using site = await makeSite()
    const before = process.cwd()
    process.chdir(site.data)
    try {
      await assert.rejects(check(site, { clusterDirectory: undefined }), (error) =>
        isOperationError(error, 'path-unsafe'),
      )
    } finally {
      process.chdir(before)
    }
  })

  test('lets pass what recovery cannot harm', async () => {
    await using site = await makeSite()
    const copy = join(site.path, 'copy')
    symlinkSync(site.data, copy)

    await check(site, { oids: [100, 200] })
    await check(site, { systemIdentifier: '8' })
    await check(site, { targetDirectory: copy })
    await check(site, { clusterDirectory: undefined })
    await check(site, { clusterDirectory: join(site.path, 'elsewhere') })
  })

  test('takes an empty place for none, and one that is gone', async () => {
    await using site = await makeSite({ spaceHas: [] })
    symlinkSync(join(site.path, 'gone'), join(site.data, 'pg_tblspc', '201'))
    mkdirSync(join(site.data, 'pg_tblspc', '202', 'PG_18_1'), { recursive: true })

    await check(site, {})
  })
})

interface Site extends AsyncDisposable {
  readonly path: string
  readonly data: string
  readonly space: string
}

/** A cluster with the tablespaces 100 and 200, the second in `space`. */
async function makeSite({ spaceHas = ['PG_18_1'] } = {}): Promise<Site> {
  const folder = await temporaryFolder()
  const data = join(folder.path, 'data')
  const space = join(folder.path, 'space')
  mkdirSync(join(data, 'global'), { recursive: true })
  mkdirSync(join(data, 'pg_tblspc'))
  const control = Buffer.alloc(8192)
  control.writeBigUInt64LE(7n)
  writeFileSync(join(data, 'global', 'pg_control'), control)
  mkdirSync(space)
  for (const name of spaceHas) mkdirSync(join(space, name))
  for (const oid of ['100', '200']) symlinkSync(space, join(data, 'pg_tblspc', oid))
  return { path: folder.path, data, space, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

interface Changes {
  readonly oids?: readonly number[]
  readonly systemIdentifier?: string
  readonly targetDirectory?: string
  readonly clusterDirectory?: string | undefined
}

function check(site: Site, changes: Changes): Promise<void> {
  const { oids = [100], systemIdentifier = '7', ...others } = changes
  const head = {
    backup: { label: parseBackupLabel('20260220-153000F') },
    systemIdentifier,
    tablespaces: oids.map((oid) => ({ oid, name: `n${oid}`, location: '/old' })),
  }
  return refuseLaterTablespaces({
    targetDirectory: join(site.path, 'restored'),
    clusterDirectory: site.data,
    head,
    ...others,
  })
}
