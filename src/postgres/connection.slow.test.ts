import assert from 'node:assert/strict'
import { appendFile, chmod, chown, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startServer, type TestServer } from '../../test/support/postgres-server.ts'
import { createScratch, type Scratch } from '../../test/support/scratch.ts'
import { isRoot } from '../../test/support/server-user.ts'
import { waitUntil } from '../../test/support/wait.ts'
import { isOperationError, type OperationErrorCode } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { systemClock } from '../platform/system-clock.ts'
import { connect } from './connection.ts'
import { parseConninfo, type Conninfo } from './conninfo.ts'
import { readRecoveryStatus } from './recovery-status.ts'

describe('a session', () => {
  test('gives text, an empty search_path and no time limits, whatever the role was given', async () => {
    await using scratch = await createScratch('session')
    await using server = await startServer({ major: 17, scratch })
    await server.query(`create role careless superuser login`)
    await server.query(`alter role careless set statement_timeout = '1ms'`)
    await server.query(`alter role careless set "TimeZone" = 'Asia/Tokyo'`)
    await server.query(`alter role careless set "DateStyle" = 'SQL'`)
    await server.query(`alter role careless set search_path = public, pg_catalog`)
    await server.query(
      `create function public.pg_is_in_recovery() returns boolean language sql as 'select 1/0 = 1'`,
    )
    await using session = await connect(conninfoOf(server, { user: 'careless' }), context())

    const [row] = await session.query(
      `select 9223372036854775807::int8 as big, '0/3000000'::pg_lsn as lsn, null as nothing, true as yes, $1 as given,
              '2026-01-01 00:00:00.123456+09'::timestamptz as at, current_setting('search_path') as path,
              current_setting('application_name') as name, pg_sleep(0.02)::text as slept, '{1,2}'::int[] as list`,
      [`'; drop table x; -- "`],
    )

    assert.deepEqual(row, {
      big: '9223372036854775807',
      lsn: '0/3000000',
      nothing: null,
      yes: 't',
      given: `'; drop table x; -- "`,
      at: '2025-12-31 15:00:00.123456+00',
      path: '',
      name: 'holdfast',
      slept: '',
      list: '{1,2}',
    })
    assert.equal((await readRecoveryStatus(session)).isInRecovery, false)
  })

  test('runs its statements one after the other and goes on after a failed one', async () => {
    await using scratch = await createScratch('queue')
    await using server = await startServer({ major: 14, scratch })
    await using session = await connect(conninfoOf(server), context())

    const [first, failed, last] = await Promise.allSettled([
      session.query('select pg_catalog.pg_sleep(0.1)::text as x'),
      session.query('select 1/0', [], { doing: 'dividing' }),
      session.query<{ x: string }>('select 2 as x'),
    ])

    assert.equal(first.status, 'fulfilled')
    assert.ok(failed.status === 'rejected' && isOperationError(failed.reason, 'server-failed'))
    assert.match(String(failed.reason), /dividing on socket directory .* failed: division by zero/)
    assert.ok(last.status === 'fulfilled' && last.value[0]?.x === '2')
  })

  test('is cut by an abort, and the server drops the statement', async () => {
    await using scratch = await createScratch('abort')
    await using server = await startServer({ major: 14, scratch })
    const controller = new AbortController()
    await using session = await connect(conninfoOf(server), { ...context(), signal: controller.signal })
    const sleeping = session.query('select pg_catalog.pg_sleep(600)')
    await waitUntil('the statement to run', async () => (await sleepers(server)) === 1)

    controller.abort(new Error('cancelled by test'))

    await assert.rejects(sleeping, /cancelled by test/)
    await assert.rejects(session.query('select 1'), /cancelled by test/)
    await waitUntil('the server to notice', async () => (await sleepers(server)) === 0)
  })

  test('says what is wrong when it cannot be opened', async () => {
    await using scratch = await createScratch('refused')
    await using server = await startServer({ major: 18, scratch })
    const cases: readonly [Partial<Conninfo>, OperationErrorCode, RegExp][] = [
      [{ port: 1 }, 'server-unreachable', /connecting on socket directory .* ENOENT/],
      [{ host: '127.0.0.1', port: 1 }, 'server-unreachable', /ECONNREFUSED/],
      [{ host: 'host.invalid' }, 'server-unreachable', /host\.invalid/],
      [{ dbname: 'x host=evil' }, 'config-invalid', /database "x host=evil" does not exist/],
      [{ dbname: `"; drop database postgres; --` }, 'config-invalid', /does not exist/],
      [{ user: 'nobody here' }, 'server-lacks-privilege', /role "nobody here" does not exist/],
      [{ options: '-c no_such_setting=1' }, 'server-failed', /no_such_setting/],
    ]
    for (const [change, code, message] of cases) {
      await assert.rejects(
        connect(conninfoOf(server, change), context()),
        (error) => isOperationError(error, code) && message.test(error.message),
        JSON.stringify(change),
      )
    }
  })

  test('does not wait for ever for a server that says nothing', async () => {
    const silent = createServer(() => undefined)
    await new Promise<void>((resolve) => {
      silent.listen(0, '127.0.0.1', resolve)
    })
    try {
      const address = silent.address()
      assert.ok(address !== null && typeof address === 'object')
      const conninfo = parseConninfo(`host=127.0.0.1 port=${address.port} sslmode=disable`, { user: 'me' })

      await assert.rejects(connect({ ...conninfo, connectTimeoutMs: 100 }, context()), (error) =>
        isOperationError(error, 'server-unreachable'),
      )
      const signal = AbortSignal.timeout(100)
      await assert.rejects(connect(conninfo, { ...context(), signal }), { name: 'TimeoutError' })
    } finally {
      silent.close()
    }
  })

  test('logs in by password file and verifies the certificate as told', async () => {
    await using scratch = await createScratch('tls')
    await using server = await startTlsServer(scratch)
    const passfile = await writePrivate(scratch, 'pgpass', `*:${server.port}:*:secured:it's\\:secret\n`)
    const sslrootcert = await writePrivate(scratch, 'root.crt', certificate)
    const tls = (change: Partial<Conninfo>): Conninfo =>
      conninfoOf(server, { host: 'localhost', hostaddr: '127.0.0.1', user: 'secured', passfile, ...change })

    for (const change of [
      { sslmode: 'prefer' },
      { sslmode: 'require' },
      { sslmode: 'verify-ca', sslrootcert },
      { sslmode: 'verify-ca', sslrootcert, host: '127.0.0.1' },
      { sslmode: 'verify-full', sslrootcert },
      { sslmode: 'require', hasChannelBinding: false },
    ] as const) {
      await using session = await connect(tls(change), context())
      const [row] = await session.query<{ ssl: string }>(
        'select ssl from pg_catalog.pg_stat_ssl where pid operator(pg_catalog.=) pg_catalog.pg_backend_pid()',
      )
      assert.equal(row?.ssl, 't', JSON.stringify(change))
    }

    const refused: readonly [Partial<Conninfo>, OperationErrorCode, RegExp][] = [
      [{ sslmode: 'verify-full', sslrootcert, host: '127.0.0.1' }, 'server-unreachable', /does not match/],
      [{ sslmode: 'verify-full', sslrootcert: 'system' }, 'server-unreachable', /self-signed/],
      [{ sslmode: 'require', sslrootcert: '/nowhere' }, 'file-unreadable', /nowhere/],
      [{ sslmode: 'disable' }, 'server-lacks-privilege', /no encryption/],
      [{ passfile: sslrootcert }, 'server-lacks-privilege', /asks for a password/],
      [{ password: 'wrong' }, 'server-lacks-privilege', /password authentication failed/],
    ]
    for (const [change, code, message] of refused) {
      await assert.rejects(
        connect(tls(change), context()),
        (error) => isOperationError(error, code) && message.test(error.message),
        JSON.stringify(change),
      )
    }
  })

  test('goes on without TLS only when it is merely preferred', async () => {
    await using scratch = await createScratch('plain')
    await using server = await startServer({
      major: 16,
      scratch,
      settings: { listen_addresses: '127.0.0.1' },
    })
    const conninfo = conninfoOf(server, { host: '127.0.0.1' })

    await using _ = await connect({ ...conninfo, sslmode: 'prefer' }, context())
    await assert.rejects(connect({ ...conninfo, sslmode: 'require' }, context()), /does not support SSL/)
  })
})

async function startTlsServer(scratch: Scratch): Promise<TestServer> {
  const server = await startServer({
    major: 17,
    scratch,
    settings: {
      listen_addresses: '127.0.0.1',
      ssl_cert_file: await writePrivate(scratch, 'server.crt', certificate),
      ssl_key_file: await writePrivate(scratch, 'server.key', privateKey),
    },
  })
  const hba = join(server.dataDirectory, 'pg_hba.conf')
  const lines = await readFile(hba, 'utf8')
  await writeFile(hba, 'hostssl all secured 127.0.0.1/32 scram-sha-256\nhost all secured all reject\n')
  await appendFile(hba, lines)
  await server.query(`create role secured login password 'it''s:secret'`)
  await server.restart({ ssl: true })
  return server
}

async function writePrivate(scratch: Scratch, name: string, content: string): Promise<string> {
  const path = join(scratch.folder, name)
  await writeFile(path, content)
  await chmod(path, 0o600)
  if (isRoot()) await chown(path, scratch.user.uid, scratch.user.gid)
  return path
}

async function sleepers(server: TestServer): Promise<number> {
  const [row] = await server.query<{ count: number }>(
    "select count(*)::int as count from pg_stat_activity where wait_event = 'PgSleep'",
  )
  return row?.count ?? 0
}

function conninfoOf(server: TestServer, change: Partial<Conninfo> = {}): Conninfo {
  return { ...parseConninfo(server.connectionString, { user: 'nobody' }), ...change }
}

function context(): RunContext {
  return { signal: AbortSignal.timeout(30_000), clock: systemClock, report: () => undefined }
}

/** Self-signed, for DNS:localhost only, valid until 2126; its key protects nothing. */
const certificate = `-----BEGIN CERTIFICATE-----
MIIBlDCCATugAwIBAgIUeu99TbzW2EqIXm8gEeSNTiivBkgwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTA1MjgwOFoYDzIxMjYxMDI4
MDUyODA4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATG1ZMiFIppg1PKCKRMYHQ75nRe56SYgte0lW200zf8jeO2Seyhe3Uj
ud9DkcDV5I0jgTNsGsJyevI1GO9I7Dabo2kwZzAdBgNVHQ4EFgQUWOQDUBFO74PQ
eg6qRs3nx65Y3IMwHwYDVR0jBBgwFoAUWOQDUBFO74PQeg6qRs3nx65Y3IMwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
RwAwRAIgUJOntxPYtTxV3NmqDHBP5XN0QiHykDo0QTc91YunygUCIDXE7v1EpVbl
3I3hYTdz3rMgleFILqaR2amNFylFk1LP
-----END CERTIFICATE-----
`
const keyLabel = 'PRIVATE KEY'
const privateKey = `-----BEGIN ${keyLabel}-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgs/4X/EmhyUsQz3DZ
GR0l2JVmiKc6BHEZKfxc5R+5WiahRANCAATG1ZMiFIppg1PKCKRMYHQ75nRe56SY
gte0lW200zf8jeO2Seyhe3Ujud9DkcDV5I0jgTNsGsJyevI1GO9I7Dab
-----END ${keyLabel}-----
`
