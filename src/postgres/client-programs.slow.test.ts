import assert from 'node:assert/strict'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { recordingContext } from '../../test/support/archive-fixture.ts'
import { clientMajor, installClientPrograms, newestClientMajor } from '../../test/support/client-programs.ts'
import { startServer } from '../../test/support/postgres-server.ts'
import { createScratch, type Scratch } from '../../test/support/scratch.ts'
import { isOperationError } from '../domain/operation-error.ts'
import { startPiped } from '../platform/piped-process.ts'
import { clientEnvironment } from './client-environment.ts'
import { findClientPrograms } from './client-programs.ts'
import { parseConninfo } from './conninfo.ts'
import { canCompressByZstd } from './program-compression.ts'

describe('the client programs of PostgreSQL', () => {
  let scratch: Scratch
  before(async () => {
    scratch = await createScratch('clients')
  })
  after(() => scratch[Symbol.asyncDispose]())

  test('are those of the major of the server, or else of the next one that is there', async () => {
    const searchPath = (await Promise.all(['98.1', '97.3', '99.0'].map((version) => pretend(version)))).join(
      ':',
    )

    const find = async (major: number): Promise<string> => {
      const server = { major, minor: 0 } as unknown as Parameters<typeof findClientPrograms>[0]
      return (await findClientPrograms(server, { searchPath }, recordingContext())).version
    }

    assert.deepEqual([await find(97), await find(98), await find(99)], ['97.3', '98.1', '99.0'])
    assert.equal(await find(90), '97.3')
    await assert.rejects(
      find(100),
      (error) => isOperationError(error, 'binaries-missing') && /\(99\.0\)/.test(error.message),
    )
  })

  test('are warned of when they have known holes', async () => {
    const context = recordingContext()
    const configured = await pretend('18.3')

    await findClientPrograms({ major: 18, minor: 4 }, { configured, searchPath: '' }, context)

    const warning = context.events.find(({ kind }) => kind === 'warning')
    assert.match(JSON.stringify(warning), /18\.3, which has known security holes that were closed in 18\.4/)
  })

  test('are asked whether they can compress by zstd', async () => {
    const answers = new Map<number, boolean>()
    for (const major of [clientMajor, newestClientMajor] as const) {
      const folder = await installClientPrograms(await scratch.makeFolder(`zstd-${major}`), major)
      answers.set(
        major,
        await canCompressByZstd({ pgDump: join(folder, 'pg_dump'), major }, recordingContext()),
      )
    }
    const refusing = await pretend(
      '96.0',
      'pg_dump: error: this build does not support compression with ZSTD',
    )

    assert.deepEqual([...answers.values()], [false, true])
    assert.equal(
      await canCompressByZstd({ pgDump: join(refusing, 'pg_dump'), major: 96 }, recordingContext()),
      false,
    )
  })

  for (const major of [14, clientMajor] as const) {
    test(`dump PostgreSQL ${major} through a pipe, and read it back`, async () => {
      const configured = await installClientPrograms(await scratch.makeFolder(`of-${major}`))
      await using server = await startServer({ major, scratch })
      await server.query('create table t as select generate_series(1, 1000) as v')
      const context = recordingContext()
      const programs = await findClientPrograms({ major, minor: 0 }, { configured, searchPath: '' }, context)
      const env = clientEnvironment(parseConninfo(server.connectionString, { user: 'nobody' }))

      await using dump = await startPiped(programs.pgDump, ['--format=custom'], { env, ...context })
      const bytes = await buffer(dump.output)
      assert.equal((await dump.ended).exitCode, 0)
      await using list = await startPiped(programs.pgRestore, ['--list'], {
        env,
        ...context,
        input: once(bytes),
      })

      assert.equal(bytes.subarray(0, 5).toString(), 'PGDMP')
      assert.match((await buffer(list.output)).toString(), /TABLE DATA public t postgres/)
      assert.equal((await list.ended).exitCode, 0)
    })
  }

  test('get no password in their arguments or their environment', () => {
    const conninfo = parseConninfo('host=h password=secret-canary', { user: 'u' })

    assert.throws(
      () => clientEnvironment(conninfo),
      (error) => isOperationError(error, 'config-invalid') && !/canary/.test(error.message),
    )
    const { PGPASSFILE, PGSSLMODE } = clientEnvironment(
      parseConninfo('host=h passfile=/etc/pass sslmode=verify-full sslrootcert=system', { user: 'u' }),
    )
    assert.deepEqual([PGPASSFILE, PGSSLMODE], ['/etc/pass', 'verify-full'])
  })

  /** Programs that say that they are of this version, and what is wrong, and do nothing else. */
  async function pretend(version: string, wrong = ''): Promise<string> {
    const folder = join(scratch.folder, version)
    await mkdir(folder)
    for (const name of ['pg_dump', 'pg_dumpall', 'pg_restore', 'psql']) {
      await writeFile(
        join(folder, name),
        `#!/bin/sh\necho '${name} (PostgreSQL) ${version}'\necho '${wrong}' >&2\n`,
      )
      await chmod(join(folder, name), 0o755)
    }
    return folder
  }
})

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes)
}
