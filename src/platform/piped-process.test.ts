import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { isOperationError } from '../domain/operation-error.ts'
import { startPiped } from './piped-process.ts'

const env = { PATH: '/usr/bin:/bin' }
const never = new AbortController().signal

describe('startPiped', () => {
  test('gives what a program writes, and then how it ended', async () => {
    await using process = await shell('cat; echo done >&2; exit 3', { input: chunks('one ', 'two') })

    assert.equal((await buffer(process.output)).toString(), 'one two')
    assert.deepEqual(await process.ended, { exitCode: 3, killedBy: undefined, stderr: 'done\n' })
  })

  test('lets a program wait for whoever reads', async () => {
    await using process = await shell('head -c 10000000 /dev/zero; echo written >&2')
    await sleep(200)
    let isOver = false
    process.ended.then(
      () => (isOver = true),
      () => undefined,
    )
    await sleep(10)
    assert.equal(isOver, false)

    assert.equal((await buffer(process.output)).length, 10_000_000)
    assert.equal((await process.ended).stderr, 'written\n')
  })

  test('kills it, and all that it has started, when it is aborted or disposed of', async () => {
    const abort = new AbortController()
    const process = await shell('sleep 60 & sleep 60', { signal: abort.signal })
    abort.abort(new Error('enough'))
    await assert.rejects(process.ended, /enough/)

    const other = await shell('sleep 60 & sleep 60')
    await other[Symbol.asyncDispose]()
    assert.equal((await other.ended).killedBy, 'SIGKILL')
  })

  test('kills it when its input fails: it must not take a part for all of it', async () => {
    await using process = await shell('cat > /dev/null; sleep 60', { input: failing() })

    await assert.rejects(process.ended, /damaged/)
  })

  test('does not mind a program that has read enough', async () => {
    const much = Array.from({ length: 100 }, () => 'x'.repeat(100_000))
    await using process = await shell('head -c 3', { input: chunks(...much) })

    assert.equal((await buffer(process.output)).toString(), 'xxx')
    assert.equal((await process.ended).exitCode, 0)
  })

  test('says that there is no such program', async () => {
    await assert.rejects(startPiped('/nowhere/pg_dump', [], { env, signal: never }), (error) =>
      isOperationError(error, 'binaries-missing'),
    )
  })
})

function shell(script: string, options: Partial<Parameters<typeof startPiped>[2]> = {}) {
  return startPiped('/bin/sh', ['-c', script], { env, signal: never, ...options })
}

async function* failing(): AsyncGenerator<Uint8Array, void> {
  yield Buffer.from('begin')
  await sleep(1)
  throw new Error('damaged')
}

async function* chunks(...texts: readonly string[]): AsyncGenerator<Uint8Array, void> {
  for (const text of texts) yield await Promise.resolve(Buffer.from(text))
}
