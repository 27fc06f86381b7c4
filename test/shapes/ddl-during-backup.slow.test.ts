import assert from 'node:assert/strict'
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BackupDocument } from '../../src/api/backup-document.ts'
import { fullCheck } from '../support/full-check.ts'
import { giveTree } from '../support/give-tree.ts'
import { expectOk, type HoldfastResult } from '../support/holdfast.ts'
import { prepareLedger } from '../support/ledger-schema.ts'
import { startLedger, type Ledger, type Marker } from '../support/ledger.ts'
import type { TestServer } from '../support/postgres-server.ts'
import { createScratch, type Scratch } from '../support/scratch.ts'
import { supportedMajors } from '../support/server-binaries.ts'
import { startHoldfast } from '../support/start-holdfast.ts'
import { startUserSite } from '../support/user-site.ts'
import { waitUntil } from '../support/wait.ts'
import { Upheaval } from './upheaval.ts'

/** The oldest and the newest; HOLDFAST_TEST_MAJORS=14,15,16,17,18 takes others. */
const majors = (process.env['HOLDFAST_TEST_MAJORS'] ?? '14,18').split(',').map((text) => {
  const major = supportedMajors.find((known) => String(known) === text.trim())
  return major ?? assert.fail(`HOLDFAST_TEST_MAJORS: no servers of PostgreSQL "${text}"`)
})

describe('a backup of a cluster whose relations come, go and change their shape meanwhile', () => {
  for (const major of majors) {
    // An incremental one is audited there: what it reads is compared with what the WAL says.
    const type = major === 14 ? 'full' : 'incr'
    test(`restores to every moment on PostgreSQL ${major}, of type ${type} (W1, R7, R8, R11, R53)`, async () => {
      await using scratch = await createScratch('ddl')
      await using site = await startUserSite({ major, scratch })
      const { server } = site
      await prepareLedger(server)
      await using ledger = await startLedger(server, { ratePerSecond: 100 })
      const spaces = new Spaces(scratch)
      await using upheaval = new Upheaval(server, (name) => spaces.make(name))
      await upheaval.prepare()
      const earlier = await site.backup()

      upheaval.start()
      await upheaval.advance(3)
      const args = ['--output', 'json', 'backup', '--type', type, '--max-rate', '20MB']
      const running = startHoldfast(args, { config: site.configuration })
      await waitUntil('the copying', () => isCopying(server))
      await sleep(1000)
      running.kill('SIGSTOP') // with some of the files copied, and some not
      await upheaval.advance(3)
      const inside = await momentOf(server, { ledger, upheaval })
      running.kill('SIGCONT')
      const label = labelIn(expectOk(await running.ended))
      const after = await momentOf(server, { ledger, upheaval })
      await upheaval.advance(3)
      await upheaval.stop()
      await ledger.stop()
      const last = { contents: await contentsOf(server), marker: undefined }
      await site.switchWal()
      // Replay makes tablespaces where they were: no server may run that has them there.
      await server.stop()

      const atInside = ['--target-lsn', inside.marker.lsn, '--target-exclusive']
      const restores = [
        { name: 'inside', moment: inside, options: atInside, begins: earlier },
        { name: 'after', moment: after, options: ['--target-time', after.marker.time], begins: label },
        { name: 'latest', moment: last, options: [], begins: label },
      ]
      for (const { name, moment, options, begins } of restores) {
        await spaces.empty()
        const plan = await site.answer(
          'restore',
          '--target-dir',
          join(site.folder, name),
          ...options,
          '--dry-run',
        )
        assert.ok(JSON.stringify(plan).includes(begins), `${name} begins with another backup than ${begins}`)
        await using restored = await site.restore(name, ...options)
        const expected = ledger.expected(moment.marker)
        await fullCheck(restored, { expected, exact: true })
        assert.ok(Object.keys(moment.contents).length > 10, 'there is little to compare')
        assert.deepEqual(await contentsOf(restored), moment.contents, name)
      }
    })
  }
})

async function isCopying(server: TestServer): Promise<boolean> {
  const [row] = await server.query<{ is: boolean }>(
    `select count(*) > 0 as is from pg_stat_activity
       where application_name = 'holdfast' and query ~ 'from pg_catalog.pg_control_checkpoint'`,
  )
  return row?.is ?? false
}

function labelIn({ stdout }: HoldfastResult): string {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what the test looks at
  return (JSON.parse(stdout) as BackupDocument).backup.label
}

/** A moment, and every row of every table at it. */
interface Moment {
  readonly marker: Marker
  readonly contents: Readonly<Record<string, string>>
}

function momentOf(
  server: TestServer,
  { ledger, upheaval }: { readonly ledger: Ledger; readonly upheaval: Upheaval },
): Promise<Moment> {
  return upheaval.whilePaused(async () => {
    const contents = await contentsOf(server)
    return { contents, marker: await ledger.marker() }
  })
}

/** Of each table that the WAL knows, in each database: where it is, and a digest of its rows. The ledger has its own check. */
async function contentsOf(server: TestServer): Promise<Readonly<Record<string, string>>> {
  const databases = await server.query<{ name: string }>(
    'select datname as name from pg_database where datallowconn order by datname',
  )
  const contents: Record<string, string> = {}
  for (const { name: database } of databases) {
    await using session = await server.session(database)
    const { rows: tables } = await session.query<{ name: string; space: string }>(
      `select c.relname as name, coalesce(s.spcname, 'pg_default') as space
         from pg_class c left join pg_tablespace s on s.oid = c.reltablespace
         where c.relkind = 'r' and c.relpersistence = 'p' and c.relnamespace = 'public'::regnamespace
           and c.relname not in ('accounts', 'ledger', 'ledger_marks')`,
    )
    for (const { name, space } of tables) {
      const { rows } = await session.query<{ digest: string }>(
        `select count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) as digest from ${name} t`,
      )
      contents[`${database}.${name} in ${space}`] = rows[0]?.digest ?? ''
    }
  }
  return contents
}

/** Directories for tablespaces. */
class Spaces {
  readonly #scratch: Scratch
  readonly #places: string[] = []
  #emptied = 0

  constructor(scratch: Scratch) {
    this.#scratch = scratch
  }

  async make(name: string): Promise<string> {
    const place = await this.#scratch.makeFolder(`space_${name}`)
    this.#places.push(place)
    return place
  }

  /** Puts an empty directory in the place of each. */
  async empty(): Promise<void> {
    this.#emptied += 1
    for (const place of this.#places) {
      await rename(place, `${place}.${this.#emptied}`)
      await mkdir(place, { mode: 0o700 })
      await giveTree(place, this.#scratch.user)
    }
  }
}
