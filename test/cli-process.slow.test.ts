import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { temporaryFolder } from './support/archive-fixture.ts'
import { waitUntil } from './support/wait.ts'

const cli = join(import.meta.dirname, '../src/cli')

describe('an interruption', () => {
  const waits = `
    const { listenForInterruption } = await import('${cli}/interruption.ts')
    const { signal } = listenForInterruption(process.argv.slice(1))
    signal.addEventListener('abort', () => console.log(signal.reason.code, signal.reason.message))
    setInterval(() => {}, 1000)
    console.log('ready')`

  test('aborts the run at the first signal and ends it with 130 at the second', async () => {
    const child = start(waits, ['backup'])
    await line(child, 'ready')
    child.kill('SIGTERM')
    await line(child, 'cancelled stopped by SIGTERM')
    child.kill('SIGINT')
    await once(child, 'exit')

    assert.equal(child.exitCode, 130)
  })

  test('ends archive-get at once, with the code that PostgreSQL takes for its own request (M1, M3)', async () => {
    const child = start(waits, ['archive-get', 'a', 'b'])
    await line(child, 'ready')
    child.kill('SIGTERM')
    await once(child, 'exit')

    assert.equal(child.exitCode, 143)
  })
})

describe('a running command', () => {
  test('keeps its memory, and the keys in it, out of core dumps', async () => {
    await using scratch = await temporaryFolder()
    const config = join(scratch.path, 'holdfast.yaml')
    spawnSync('/bin/sh', ['-c', 'mkfifo "$0"', config]) // it waits for its configuration
    const running = spawn(process.execPath, [join(cli, '../../bin/holdfast'), '--config', config, 'info'])
    try {
      const filterFile = `/proc/${running.pid}/coredump_filter`
      await waitUntil('the filter', () => readFileSync(filterFile, 'utf8').trim() === '00000000')

      assert.equal(running.exitCode, null)
    } finally {
      running.kill('SIGKILL')
      await once(running, 'exit')
    }
  })
})

describe('a crash', () => {
  const crashes = `
    const { guardAgainstCrashes } = await import('${cli}/crash-guard.ts')
    guardAgainstCrashes(process.argv.slice(1))
    Promise.reject(new Error('lost, password=canary'))
    setInterval(() => {}, 1000)`

  test('is told in one line without secrets and exits 1 (R73)', () => {
    const { status, stderr } = run(crashes, ['backup'])

    assert.equal(status, 1)
    assert.match(stderr, /^error: internal error: lost, password=\*\*\*\nhint: .*\n$/)
  })

  test('shows where it came from when debugging', () => {
    assert.match(run(crashes, ['backup', '--log-level', 'debug']).stderr, /^debug: {5}at /m)
  })

  test('of archive-get is no end of the WAL (M1)', () => {
    assert.equal(run(crashes, ['archive-get', 'a', 'b']).status, 126)
    assert.equal(run(crashes, ['archive-get', '--mode', 'standby', 'a', 'b']).status, 1)
  })
})

describe('becoming the owner of a cluster', { skip: process.getuid?.() !== 0 }, () => {
  const becomes = `
    const { becomeClusterOwner } = await import('${cli}/run-as.ts')
    const user = await becomeClusterOwner(JSON.parse(process.argv[1]))
    let again = 'refused'
    try { process.setuid(0); again = 'root again' } catch {}
    console.log(JSON.stringify({
      user: user?.name, uid: process.getuid(), gid: process.getgid(), groups: process.getgroups().includes(0),
      umask: process.umask().toString(8), home: process.env.HOME, again,
    }))`

  test('changes user, groups, home and file modes for good', () => {
    const { stdout, stderr } = run(becomes, [JSON.stringify({ runAs: 'nobody' })])

    assert.equal(stderr, '')
    assert.deepEqual(JSON.parse(stdout), {
      user: 'nobody',
      uid: 65534,
      gid: 65534,
      groups: false,
      umask: '77',
      home: '/nonexistent',
      again: 'refused',
    })
  })

  test('refuses to go on as root, and users that are not there', () => {
    assert.match(run(becomes, ['{}']).stderr, /started as root: expected a data directory or a run-as/)
    assert.match(
      run(becomes, [JSON.stringify({ dataDirectory: '/nonexistent/data' })]).stderr,
      /started as root: expected a data directory or a run-as/,
    )
    assert.match(
      run(becomes, [JSON.stringify({ runAs: 'no-such-user' })]).stderr,
      /becoming "no-such-user", because run-as names it: no such user/,
    )
  })
})

function start(script: string, args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '-e', script, '--', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function line(child: ChildProcess, expected: string): Promise<void> {
  assert.ok(child.stdout)
  await once(child.stdout, 'readable')
  assert.equal(String(child.stdout.read()).trim(), expected)
}

function run(script: string, args: readonly string[]) {
  return spawnSync(process.execPath, ['--input-type=module', '-e', script, '--', ...args], {
    encoding: 'utf8',
  })
}
