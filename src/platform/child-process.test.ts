import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { isOperationError } from '../domain/operation-error.ts'
import { runProcess, sendSignal, spawnDetached } from './child-process.ts'

const sh = '/bin/sh'

describe('runProcess', () => {
  test('returns exit code, standard output and standard error', async () => {
    const result = await runProcess(sh, ['-c', 'cat; echo bad >&2; exit 3'], { input: 'héllo' })

    assert.equal(result.exitCode, 3)
    assert.equal(result.stdout.toString(), 'héllo')
    assert.equal(result.stderr, 'bad\n')
    assert.equal(result.timedOut, false)
  })

  test('passes arguments as they are, without a shell', async () => {
    const nasty = `a'b"c $(id) \`id\` \n *`

    const result = await runProcess('/usr/bin/printf', ['%s', nasty])

    assert.equal(result.stdout.toString(), nasty)
  })

  test('gives the child only the environment it was told', async () => {
    const result = await runProcess('/usr/bin/env', [], { env: { ONE: '1' } })

    assert.equal(result.stdout.toString(), 'ONE=1\n')
  })

  test('keeps no more of the output than asked', async () => {
    const result = await runProcess(sh, ['-c', 'printf 1234567890'], { stdoutLimitBytes: 4 })

    assert.equal(result.stdout.toString(), '1234')
    assert.equal(result.isStdoutCut, true)
  })

  test('says that a program does not exist', async () => {
    await assert.rejects(runProcess('/nowhere/postgres', []), (error) =>
      isOperationError(error, 'binaries-missing'),
    )
  })

  test('kills the whole group when time is up (R77)', async () => {
    const result = await runProcess(sh, ['-c', 'sleep 60 & echo $!; wait'], { timeoutMs: 150 })

    assert.equal(result.timedOut, true)
    assert.equal(result.exitCode, undefined)
    assert.equal(await hasEnded(Number(result.stdout.toString())), true)
  })

  test('kills the group and rejects with the reason on abort', async () => {
    const controller = new AbortController()
    const running = runProcess(sh, ['-c', 'sleep 60 & wait'], { signal: controller.signal })
    setTimeout(() => {
      controller.abort(new Error('stopped by test'))
    }, 50)

    await assert.rejects(running, /stopped by test/)
  })

  test('survives a child that does not read its input', async () => {
    const result = await runProcess('/bin/true', [], { input: Buffer.alloc(1024 * 1024) })

    assert.equal(result.exitCode, 0)
  })
})

describe('spawnDetached', () => {
  test('sends the output to a file of ours and tells the end', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-spawn-'))
    try {
      const logFile = join(folder, 'log')

      const child = await spawnDetached(sh, ['-c', 'echo out; echo err >&2; exit 4'], { logFile })

      assert.deepEqual(await child.exited, { exitCode: 4, killedBy: undefined })
      assert.equal(readFileSync(logFile, 'utf8'), 'out\nerr\n')
      assert.equal(statSync(logFile).mode & 0o777, 0o600)
      assert.equal(sendSignal(child.pid, 0), false)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('does not write through a symbolic link', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-spawn-'))
    try {
      const logFile = join(folder, 'log')
      symlinkSync(join(folder, 'elsewhere'), logFile)

      await assert.rejects(spawnDetached('/bin/true', [], { logFile }), (error) =>
        isOperationError(error, 'file-unwritable'),
      )
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('says that a program does not exist', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-spawn-'))
    try {
      const started = spawnDetached('/nowhere/postgres', [], { logFile: join(folder, 'log') })

      await assert.rejects(started, (error) => isOperationError(error, 'binaries-missing'))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

/** A killed process may still be a zombie that its new parent has not collected. */
async function hasEnded(pid: number): Promise<boolean> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    if (!sendSignal(pid, 0) || isZombie(pid)) return true
    await new Promise((resolve) => {
      setTimeout(resolve, 10)
    })
  }
  return false
}

function isZombie(pid: number): boolean {
  try {
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return true
  }
}
