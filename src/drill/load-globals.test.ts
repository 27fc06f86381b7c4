import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { adapted } from './load-globals.ts'

async function* once(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content)
}

async function adapt(content: string, firstRole: string) {
  const tablespaces: string[] = []
  const makeTablespace = (name: string): Promise<void> => {
    tablespaces.push(name)
    return Promise.resolve()
  }
  const written = await text(adapted(once(content), { firstRole, makeTablespace }))
  return { written, tablespaces }
}

describe('roles and tablespaces for a throw-away server', () => {
  test('leave out the role that it has, and change it as the others', async () => {
    const other = 'CREATE ROLE größe;\nALTER ROLE größe WITH LOGIN;\n'
    const first = 'CREATE ROLE "first ""one""";\n'
    const changed = 'ALTER ROLE "first ""one""" WITH SUPERUSER;\n'

    assert.equal((await adapt(first + changed + other, 'first "one"')).written, changed + other)
  })

  test('make tablespaces as they come by, and give them to their owners', async () => {
    const { written, tablespaces } = await adapt(
      `CREATE TABLESPACE fast OWNER "Some One" LOCATION '/srv/fast';\nCREATE TABLESPACE "Größe ""x""" OWNER a LOCATION E'/srv/\\\\a';\nGRANT ALL ON TABLESPACE fast TO a;\n`,
      'postgres',
    )

    assert.deepEqual(tablespaces, ['fast', 'Größe "x"'])
    assert.equal(
      written,
      'ALTER TABLESPACE fast OWNER TO "Some One";\nALTER TABLESPACE "Größe ""x""" OWNER TO a;\nGRANT ALL ON TABLESPACE fast TO a;\n',
    )
  })
})
