import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import { processesAround } from './live-processes.ts'
import { createScratch } from './scratch.ts'
import { waitUntil } from './wait.ts'

describe('a scratch', () => {
  test('is a short private folder of the server user, and is gone after its disposal', async () => {
    const scratch = await createScratch('a name that is/long and odd')
    const child = await scratch.makeFolder('child')
    const { uid, mode } = await stat(child)

    assert.ok(`${scratch.folder}/.s.PGSQL.65535.lock`.length <= 107)
    assert.deepEqual([uid, mode & 0o777], [scratch.user.uid, 0o700])
    await scratch[Symbol.asyncDispose]()
    assert.equal(existsSync(scratch.folder), false)
  })

  test('ends the processes that live in it when it is disposed', async () => {
    const scratch = await createScratch('living')
    const inside = spawn('sleep', ['600'], { cwd: scratch.folder, stdio: 'ignore' })
    const naming = spawn(
      process.execPath,
      ['-e', 'setTimeout(Object, 600_000)', `${scratch.folder}/some.log`],
      {
        cwd: '/',
        stdio: 'ignore',
      },
    )
    const bystander = spawn('sleep', ['600'], { cwd: '/', stdio: 'ignore' })
    const ends = Promise.all([once(inside, 'exit'), once(naming, 'exit')])

    await scratch[Symbol.asyncDispose]()
    await ends

    assert.deepEqual([inside.signalCode, naming.signalCode], ['SIGKILL', 'SIGKILL'])
    assert.equal(bystander.signalCode, null)
    bystander.kill()
  })

  for (const { how, end } of [
    { how: 'is killed with SIGKILL', end: (child: ChildProcess) => child.kill('SIGKILL') },
    { how: 'ends without disposing it', end: (child: ChildProcess) => child.stdin?.end() },
  ]) {
    test(`takes its servers and its folder along when the test process ${how}`, async () => {
      const child = spawn(process.execPath, ['--input-type=module', '--eval', doomedTest], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
      const [folder, sharedMemoryId] = line.split(' ') as [string, string]
      assert.ok(processesAround(folder).length >= 5)
      assert.ok(hasSharedMemory(sharedMemoryId))

      const exit = once(child, 'exit')
      end(child)
      await exit

      await waitUntil('the folder to be gone', () => !existsSync(folder))
      assert.deepEqual(processesAround(folder), [])
      assert.equal(hasSharedMemory(sharedMemoryId), false)
    })
  }
})

/** Starts a server, uses it, and waits for the end of its input, which may not come. */
const doomedTest = `
import { readFileSync } from 'node:fs'
const { createScratch } = await import('${import.meta.resolve('./scratch.ts')}')
const { startServer } = await import('${import.meta.resolve('./postgres-server.ts')}')
const scratch = await createScratch('doomed')
const server = await startServer({ major: 18, scratch })
globalThis.kept = await server.session()
const sharedMemoryId = readFileSync(server.dataDirectory + '/postmaster.pid', 'utf8').split('\\n')[6].trim().split(/ +/)[1]
process.stdout.write(scratch.folder + ' ' + sharedMemoryId + '\\n')
process.stdin.resume().on('end', () => process.exit())
`

function hasSharedMemory(id: string): boolean {
  return readFileSync('/proc/sysvipc/shm', 'utf8')
    .split('\n')
    .some((line) => line.trim().split(/\s+/)[1] === id)
}
