import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, copyFile, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { readArchiveInventory } from '../src/archive/archive-inventory.ts'
import { isWalSegmentName } from '../src/domain/wal-segment.ts'
import { recordingContext } from './support/archive-fixture.ts'
import { createArchiveSite, giveAll, type ArchiveSite } from './support/archive-site.ts'
import { runHoldfast, type HoldfastResult } from './support/holdfast.ts'
import { startServer } from './support/postgres-server.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { seededRandom } from './support/seeded-random.ts'
import { identityOf } from './support/server-user.ts'

/** Twelve real segments of 1 MiB, in a folder that is no server any more. */
interface Stage {
  readonly scratch: Scratch
  readonly site: ArchiveSite
  readonly walFolder: string
  readonly names: readonly string[]
}

describe('archive-get', () => {
  const opened = new AsyncDisposableStack()
  let stage: Stage
  before(async () => {
    stage = await createStage(opened)
    for (const name of stage.names.slice(0, 4)) assert.equal((await push(stage, name)).code, 0)
  })
  after(() => opened.disposeAsync())

  test('gives a segment and exits 0 (R39)', async () => {
    const [name = ''] = stage.names
    const { code, destination } = await get(stage, name)

    assert.equal(code, 0)
    assert.deepEqual(await readFile(destination), await readFile(join(stage.walFolder, name)))
  })

  test('exits 1 for what is proven absent, in both modes (M1)', async () => {
    for (const mode of ['recovery', 'standby']) {
      assert.equal((await get(stage, '0000000A0000000000000003', mode)).code, 1)
      assert.equal((await get(stage, '0000000A.history', mode)).code, 1)
    }
  })

  test('never takes a partial segment for the whole one (R39)', async () => {
    const name = stage.names[5] ?? ''
    await copyFile(join(stage.walFolder, name), join(stage.walFolder, `${name}.partial`))
    await giveAll(stage.walFolder, stage.scratch)
    assert.equal((await push(stage, `${name}.partial`)).code, 0)

    assert.equal((await get(stage, name)).code, 1)
  })

  test('does not know when an object is damaged: 126 or more, on a standby 1, and no file (M2, M4)', async () => {
    const name = stage.names[1] ?? ''
    await using _ = await damaged(stage, name)

    await assertUncertain(stage, name)
  })

  test('does not know with a wrong key (M1)', async () => {
    const key = join(stage.site.folder, 'key')
    const right = await readFile(key)
    await writeFile(key, Buffer.alloc(32, 1))

    await assertUncertain(stage, stage.names[0] ?? '')

    await writeFile(key, right)
  })

  test('does not know when the repository is gone, or is an empty folder (M1)', async () => {
    const { repositoryFolder } = stage.site
    await rename(repositoryFolder, `${repositoryFolder}-away`)

    await assertUncertain(stage, stage.names[0] ?? '')
    await assertUncertain(stage, '0000000A.history')

    await rename(`${repositoryFolder}-away`, repositoryFolder)
  })

  test('does not know when it was called wrongly or has no configuration (M1)', async () => {
    const options = { asUser: stage.scratch.user }
    for (const args of [
      ['archive-get', stage.names[0] ?? ''],
      ['archive-get', '--nonsense', stage.names[0] ?? '', '/tmp/x'],
      ['archive-get', 'passwd', '/tmp/x'],
      ['--config', '/nowhere/holdfast.yaml', 'archive-get', stage.names[0] ?? '', '/tmp/x'],
    ]) {
      const { code } = await runHoldfast(args, { ...options, config: stage.site.configFile })
      assert.ok(code !== null && code >= 126, `${args.join(' ')} exited with ${code}`)
    }
  })
})

describe('archive-push', () => {
  const opened = new AsyncDisposableStack()
  let stage: Stage
  before(async () => {
    stage = await createStage(opened)
  })
  after(() => opened.disposeAsync())

  test('succeeds in each of several processes that push one segment at once (R23)', async () => {
    const results = await Promise.all(Array.from({ length: 8 }, () => push(stage, stage.names[0] ?? '')))

    assert.deepEqual(new Set(results.map(({ code }) => code)), new Set([0]))
  })

  test('exits 5 for a segment that must not stand under its name, and 1 to 5 for all else (R22, R25)', async () => {
    const [, second = '', third = ''] = stage.names
    await copyFile(join(stage.walFolder, second), join(stage.walFolder, '0000000100000000000000FF'))
    await giveAll(stage.walFolder, stage.scratch)

    assert.equal((await push(stage, '0000000100000000000000FF')).code, 5)
    assert.equal((await push(stage, '0000000100000000000000FE')).code, 1)
    assert.equal((await push(stage, 'passwd')).code, 2)
    const { code } = await runHoldfast(['archive-push', third, '--nonsense'], { asUser: stage.scratch.user })
    assert.equal(code, 2)
  })

  test('leaves a complete chain behind, however often it is killed (R27)', async (context) => {
    const seed = Date.now() % 100_000
    context.diagnostic(`seed ${seed}`)
    const random = seededRandom(seed)
    for (const name of stage.names) {
      for (let attempt = 0; attempt < 3; attempt += 1) await pushAndKill(stage, name, random(400))
      assert.equal((await push(stage, name)).code, 0)
    }

    await using place = await stage.site.place()
    const { timelines, conflicts } = await readArchiveInventory(place, recordingContext())
    assert.equal(timelines.length, 1)
    assert.deepEqual([timelines[0]?.gaps, conflicts], [[], []])
    assert.equal(timelines[0]?.ranges[0]?.count, BigInt(stage.names.length))
    for (const name of stage.names) assert.equal((await get(stage, name)).code, 0)
  })
})

async function createStage(opened: AsyncDisposableStack): Promise<Stage> {
  const scratch = opened.use(await createScratch('faults'))
  const settings = { archive_mode: 'on', archive_command: 'false' }
  await using server = await startServer({ major: 16, scratch, walSegmentSizeMb: 1, settings })
  const site = await createArchiveSite(scratch, server)
  await using session = await server.session()
  await session.query('create table filling (text text)')
  for (let index = 0; index < 12; index += 1) {
    await session.query('insert into filling select md5(i::text) from generate_series(1, 3000) i')
    await session.query('select pg_switch_wal()')
  }
  const walFolder = join(server.dataDirectory, 'pg_wal')
  const statuses = await readdir(join(walFolder, 'archive_status'))
  const ready = statuses.map((entry) => entry.replace('.ready', '')).filter(isWalSegmentName)
  return { scratch, site, walFolder, names: ready.toSorted().slice(0, 12) }
}

function push({ site, scratch, walFolder }: Stage, name: string): Promise<HoldfastResult> {
  const args = ['--cluster', 'main', 'archive-push', join(walFolder, name)]
  return runHoldfast(args, { config: site.configFile, asUser: scratch.user })
}

async function pushAndKill(
  { site, scratch, walFolder }: Stage,
  name: string,
  afterMs: number,
): Promise<void> {
  const args = [site.parts.programPath, '--config', site.configFile, 'archive-push', join(walFolder, name)]
  const child = spawn(process.execPath, args, { env: {}, stdio: 'ignore', ...identityOf(scratch.user) })
  const closed = once(child, 'close')
  await Promise.race([closed, sleep(afterMs)])
  child.kill('SIGKILL')
  await closed
}

async function get(
  { site, scratch, walFolder }: Stage,
  name: string,
  mode = 'recovery',
): Promise<HoldfastResult & { readonly destination: string }> {
  const destination = join(walFolder, 'RECOVERYXLOG')
  await rm(destination, { force: true })
  const args = ['--cluster', 'main', 'archive-get', '--mode', mode, name, destination]
  return { ...(await runHoldfast(args, { config: site.configFile, asUser: scratch.user })), destination }
}

async function assertUncertain(stage: Stage, name: string): Promise<void> {
  const recovery = await get(stage, name)
  assert.ok(recovery.code !== null && recovery.code >= 126, `exited with ${recovery.code}`)
  assert.equal(existsSync(recovery.destination), false)
  assert.match(recovery.stderr, /^error: /)
  const standby = await get(stage, name, 'standby')
  assert.equal(standby.code, 1)
  assert.deepEqual(
    (await readdir(stage.walFolder)).filter((entry) => entry.startsWith('.holdfast-')),
    [],
  )
}

/** Turns over one bit of the segment's object until it is disposed. */
async function damaged({ site }: Stage, name: string): Promise<AsyncDisposable> {
  const entries = await readdir(site.repositoryFolder, { recursive: true, withFileTypes: true })
  const entry = entries.find((candidate) => candidate.name.startsWith(`${name}-`))
  assert.ok(entry)
  const path = join(entry.parentPath, entry.name)
  const intact = await readFile(path)
  const flipped = Buffer.from(intact)
  const middle = Math.floor(flipped.length / 2)
  flipped.writeUInt8(flipped.readUInt8(middle) ^ 1, middle)
  await chmod(path, 0o600)
  await writeFile(path, flipped)
  return { [Symbol.asyncDispose]: () => writeFile(path, intact) }
}
