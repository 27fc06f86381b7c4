import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { DumpDocument } from '../../../src/api/dump-document.ts'
import type { InfoDocument } from '../../../src/api/info-document.ts'
import { clientMajor, installClientPrograms } from '../../support/client-programs.ts'
import { expectOk, runHoldfast, type HoldfastOptions, type HoldfastResult } from '../../support/holdfast.ts'
import { startServer, type TestServer } from '../../support/postgres-server.ts'
import type { Scratch } from '../../support/scratch.ts'
import { waitUntil } from '../../support/wait.ts'
import type { FaultCase, FaultStage, FaultTurn, Outcome } from '../fault-case.ts'

/** A dump of a database that is sealed in a thread, in a repository that has one already. */
export const dump: FaultCase = { name: 'dump', mostPerOperation: 40, sampleSize: 3, stage }

const run = promisify(execFile)

interface Prepared {
  readonly server: TestServer
  readonly options: HoldfastOptions
  readonly repository: string
  /** Of the dump that is there already. */
  readonly label: string
}

async function stage(scratch: Scratch): Promise<FaultStage> {
  const server = await startServer({ major: clientMajor, scratch })
  await server.query(
    'create table t as select md5(i::text) || md5((-i)::text) as text from generate_series(1, 40000) i',
  )
  const folder = await scratch.makeFolder('dumps')
  const repository = join(folder, 'repository')
  const env = { HOME: await scratch.makeFolder('home') }
  const options = { config: join(folder, 'holdfast.yaml'), asUser: scratch.user, env }
  const programs = await installClientPrograms(scratch.folder)
  const setup = ['--logical-only', '--cluster=main', `--connection=${server.connectionString}`]
  const places = [`--repo=posix:${repository}`, `--bin-directory=${programs}`]
  expectOk(await runHoldfast(['init', ...setup, ...places], options))
  const [label = assert.fail()] = labelIn(expectOk(await runHoldfast(dumpCommand, options)))
  const template = join(scratch.folder, 'template')
  await run('cp', ['-a', repository, template])
  return {
    turn: async () => {
      await rm(repository, { recursive: true })
      await run('cp', ['-a', template, repository])
      // An older copy than this host has seen would be refused.
      await rm(join(folder, 'state'), { recursive: true, force: true })
      return new DumpTurn({ server, options, repository, label })
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

const dumpCommand = ['--output', 'json', 'dump', '--database', 'postgres']

class DumpTurn implements FaultTurn {
  readonly command: FaultTurn['command']
  readonly #prepared: Prepared

  constructor(prepared: Prepared) {
    this.#prepared = prepared
    const { options } = prepared
    this.command = { args: dumpCommand, options, folder: dirname(options.config ?? '') }
  }

  async afterFault({ isKilled, result }: Outcome): Promise<void> {
    const listed = await this.#expectSound(labelIn(result))
    const left = (await this.#stored()).filter((label) => !listed.includes(label))
    // An orderly failure takes its parts away.
    if (!isKilled) assert.deepEqual(left, [], 'U6: left behind')
  }

  async afterSuccess(result: HoldfastResult): Promise<void> {
    const label = labelIn(result)
    assert.equal(label.length, 1, 'it names no dump')
    await this.#expectSound(label)
  }

  /** What was acknowledged is listed, what is listed is whole, and nothing is at work any more. Gives what is listed. */
  async #expectSound(acknowledged: readonly string[]): Promise<readonly string[]> {
    const { server, options, label } = this.#prepared
    await waitUntil('the sessions of the dump to end', async () => {
      const [row] = await server.query<{ count: string }>(
        `select count(*) from pg_stat_activity where application_name ~* 'holdfast|pg_dump'`,
      )
      return row?.count === '0'
    })
    expectOk(await runHoldfast(['verify'], options))
    const { stdout } = expectOk(await runHoldfast(['--output', 'json', 'info'], options))
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the document is typed
    const { repos } = JSON.parse(stdout) as InfoDocument
    const listed = repos.flatMap(({ dumps }) => dumps.map((one) => one.label))
    for (const wanted of [label, ...acknowledged]) assert.ok(listed.includes(wanted), `U1: dump ${wanted}`)
    return listed
  }

  /** The labels of which there are parts or a head. */
  async #stored(): Promise<readonly string[]> {
    const entries = await readdir(this.#prepared.repository, { recursive: true, withFileTypes: true })
    const paths = entries.filter((entry) => entry.isFile()).map((entry) => entry.parentPath)
    return [...new Set(paths.map((path) => basename(path)).filter((name) => /^\d{8}-\d{6}L$/.test(name)))]
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function labelIn({ code, stdout }: HoldfastResult): readonly string[] {
  if (code !== 0) return []
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the document is typed
  return [(JSON.parse(stdout) as DumpDocument).dump.label]
}
