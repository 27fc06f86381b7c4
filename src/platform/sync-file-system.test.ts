import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { isOperationError } from '../domain/operation-error.ts'
import { toBytePath, type BytePath } from './byte-path.ts'
import { wholeFileSystemSync, type Machine } from './sync-file-system.ts'

describe('wholeFileSystemSync', () => {
  let folder = ''
  const { signal } = new AbortController()
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hf-sync-'))
  })
  afterEach(() => {
    rmSync(folder, { recursive: true })
  })

  /** Says that it is this version, writes down what it is asked for, and ends like `answer`. */
  const program = (version: string, answer = 'exit 0'): string => {
    const path = join(folder, 'sync')
    const log = join(folder, 'log')
    const script = `#!/bin/sh\n[ "$1" = --version ] && { echo "${version}"; exit 0; }\necho "$@" >>"${log}"\n${answer}\n`
    writeFileSync(path, script, { mode: 0o755 })
    return path
  }
  const place = (): BytePath => toBytePath(Buffer.from(folder))
  const gnu = 'sync (GNU coreutils) 9.1'
  /** That trusts the file system of the temporary folder, whichever it is. */
  const machine = (path: string, kernelRelease = '5.8.0-1-amd64'): Machine => ({
    kernelRelease,
    programs: [path],
    fileSystems: new Set([statfsSync(folder).type]),
  })
  const isThere = async (version: string, kernelRelease?: string): Promise<boolean> =>
    (await wholeFileSystemSync([place()], machine(program(version), kernelRelease))) !== undefined
  const failing = async (answer: string): Promise<unknown> => {
    const sync = await wholeFileSystemSync([place()], machine(program(gnu, answer)))
    return sync?.(signal).catch((error: unknown) => error)
  }

  test('is there for GNU coreutils from 8.24 on and Linux from 5.8 on, and for nothing else', async () => {
    assert.equal(await isThere(gnu), true)
    assert.equal(await isThere('sync (GNU coreutils) 8.24'), true)
    assert.equal(await isThere(gnu, '6.18.44-fc'), true)
    assert.equal(await isThere(gnu, '5.7.19'), false)
    assert.equal(await isThere(gnu, '4.4.0'), false)
    assert.equal(await isThere(gnu, 'unknown'), false)
    assert.equal(await isThere('sync (GNU coreutils) 8.23'), false)
    assert.equal(await isThere('sync (uutils coreutils) 0.2.2'), false)
    assert.equal(await isThere('BusyBox v1.36.1'), false)
  })

  test('is not there without the program, nor for a path or a file system that cannot be trusted', async () => {
    const proc = toBytePath(Buffer.from('/proc'))

    assert.equal(await wholeFileSystemSync([place()], machine('/nonexistent/sync')), undefined)
    assert.equal(await wholeFileSystemSync([place(), proc], machine(program(gnu))), undefined)
  })

  test('asks once for each file system', async () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')
    const places = [place(), toBytePath(Buffer.from(file))]
    const sync = await wholeFileSystemSync(places, machine(program(gnu)))

    await sync?.(signal)

    assert.equal(readFileSync(join(folder, 'log'), 'latin1'), `--file-system ${folder}\n`)
  })

  test('fails when the program does, with its words (K9)', async () => {
    const broken = await failing('echo "sync: error syncing: Input/output error" >&2; exit 1')
    const full = await failing('echo "sync: error syncing: No space left on device" >&2; exit 1')
    const killed = await failing('kill -9 $$')

    assert.ok(isOperationError(broken, 'file-unwritable'))
    assert.match(
      broken.message,
      /^syncing the file system of ".*": sync: error syncing: Input\/output error$/,
    )
    assert.ok(isOperationError(full, 'no-space'))
    assert.ok(isOperationError(killed, 'file-unwritable'))
    assert.match(killed.message, /it ended with SIGKILL$/)
  })

  test('works with the program of this machine, or is not there', async () => {
    const sync = await wholeFileSystemSync([place()])

    await sync?.(signal)
  })
})
