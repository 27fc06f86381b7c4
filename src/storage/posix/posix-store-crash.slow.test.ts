// Started with "write" and a path this file is the writer that gets killed; otherwise it is the test.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../platform/system-clock.ts'
import { createPosixStore, openPosixStore } from './posix-store.ts'

const rounds = 30
const context = { clock: systemClock, signal: new AbortController().signal }
const [mode, writerPath = '', writerRound = ''] = process.argv.slice(2)

if (mode === 'write') await writeForEver(writerPath, writerRound)
else describe('a posix store whose writer is killed', testCrashes)

function testCrashes(): void {
  test(`shows only complete objects, all those that were confirmed, and takes more (P2), ${rounds} times`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-crash-'))
    await using cleanup = new AsyncDisposableStack()
    cleanup.defer(() => rm(folder, { recursive: true }))
    const path = join(folder, 'store')
    await writeFile(`${path}.confirmed`, '')
    let seed = Math.floor(Math.random() * 2 ** 31)
    t.diagnostic(`seed ${seed}`)

    for (let round = 0; round < rounds; round++) {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
      await writeAndKill(path, round, (seed >> 8) % 400)
      await checkAndEmpty(path)
    }

    const left = await readdir(join(path, '.tmp'))
    t.diagnostic(`${left.length} temporary files left behind by ${rounds} killed writers`)
    const tomorrow = { ...systemClock, now: () => systemClock.now() + 25 * 3_600_000 }
    await openPosixStore(path, { access: 'write' }, { ...context, clock: tomorrow })
    assert.deepEqual(await readdir(join(path, '.tmp')), [])
  })
}

/** Kills the writer `delayMs` after it has begun. */
async function writeAndKill(path: string, round: number, delayMs: number): Promise<void> {
  const writer = spawn(process.execPath, [import.meta.filename, 'write', path, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  })
  const ended = once(writer, 'close')
  await Promise.race([once(writer.stdout, 'data'), ended])
  await sleep(delayMs)
  assert.ok(writer.kill('SIGKILL'), 'the writer ended by itself')
  await ended
}

/** Empties the store after that, so that the next round has less to read. */
async function checkAndEmpty(path: string): Promise<void> {
  await using store = await openPosixStore(path, { access: 'write' }, context)
  const listed = new Set<string>()
  for await (const { key } of store.list('')) {
    const found = await store.get(key)
    // Not deepEqual: describing how megabytes differ takes minutes.
    assert.ok(found && Buffer.from(found.buffer).equals(contentOf(key)), `object "${key}" is not complete`)
    listed.add(key)
  }
  const confirmed = (await readFile(`${path}.confirmed`, 'utf8')).split('\n').slice(0, -1)
  assert.deepEqual(
    confirmed.filter((key) => !listed.has(key)),
    [],
  )
  await store.delete([...listed])
  await writeFile(`${path}.confirmed`, '')
}

/** Creates the store, then stores objects, four at a time, and notes those that were confirmed. */
async function writeForEver(path: string, round: string): Promise<void> {
  process.stdout.write('begun\n')
  await using store = await createPosixStore(path, { access: 'write' }, context)
  await using confirmed = await open(`${path}.confirmed`, 'a')
  await Promise.all(
    [1, 2, 3, 4].map(async (lane) => {
      for (let index = 0; ; index++) {
        const key = `round-${round}/${index % 5}/${lane}-${index}`
        assert.equal(await store.putIfAbsent(key, contentOf(key)), 'created')
        await confirmed.appendFile(`${key}\n`)
      }
    }),
  )
}

/** Up to 3 MiB that the key determines. */
function contentOf(key: string): Uint8Array<ArrayBuffer> {
  let state = 7
  for (const character of key) state = (Math.imul(state, 31) + (character.codePointAt(0) ?? 0)) >>> 0
  const bytes = new Uint8Array(state % (3 * 1024 * 1024))
  return bytes.fill(state % 256).fill(state % 251, bytes.length >> 1)
}
