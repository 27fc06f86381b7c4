import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BackupDocument } from '../../src/api/backup-document.ts'
import { fullCheck } from '../support/full-check.ts'
import { expectOk } from '../support/holdfast.ts'
import { prepareLedger } from '../support/ledger-schema.ts'
import { startLedger, type Expected, type Ledger, type Marker } from '../support/ledger.ts'
import type { Scratch } from '../support/scratch.ts'
import { seededRandom, type Random } from '../support/seeded-random.ts'
import type { Major } from '../support/server-binaries.ts'
import { startHoldfast } from '../support/start-holdfast.ts'
import { startUserSite, type UserSite } from '../support/user-site.ts'
import { columns, rows } from './world.ts'

export interface ChainOptions {
  readonly seed: number
  readonly major: Major
  /** Incrementals after the full backup, besides those that are killed. */
  readonly incrementals: number
  /** After so many backups one out of the middle is deleted, and what it leaves is swept. */
  readonly deleteEvery: number
  readonly tell: (line: string) => void
}

export interface ChainReport {
  readonly taken: number
  readonly killed: number
  readonly deleted: number
  /** Backups that moved live data out of older packs. */
  readonly compacted: number
  readonly restores: number
}

/** A backup, and what was acknowledged before it began and after it had ended. */
interface Link {
  readonly label: string
  readonly before: Marker
  readonly after: Marker
}

interface Growing {
  readonly site: UserSite
  readonly ledger: Ledger
  readonly random: Random
  readonly options: ChainOptions
  readonly links: Link[]
  readonly counts: { killed: number; deleted: number; compacted: number }
}

/**
 * Takes a full backup and incrementals under load, kills some, deletes some out of the middle and sweeps what they leave.
 * Then restores every backup that remains, to its own end and to a moment after it, and checks all of what comes of it.
 */
export async function growChain(options: ChainOptions, scratch: Scratch): Promise<ChainReport> {
  const { seed, major, incrementals, deleteEvery, tell } = options
  await using site = await startUserSite({ major, scratch, settings: { max_wal_size: '256MB' } })
  await prepareLedger(site.server)
  await site.server.query(`create table churned ${columns}`)
  await site.server.query('create index on churned (id)')
  await using ledger = await startLedger(site.server, { ratePerSecond: 100, seed })
  const counts = { killed: 0, deleted: 0, compacted: 0 }
  const growing: Growing = { site, ledger, random: seededRandom(seed), options, links: [], counts }
  for (let taken = 0; taken <= incrementals; taken += 1) {
    await churn(growing, taken)
    if (taken > 0 && growing.random(4) === 0) await killBackup(growing)
    await takeLink(growing, taken === 0 ? 'full' : 'incr')
    if (taken > 0 && taken % deleteEvery === 0) await deleteFromMiddle(growing)
  }
  await ledger.advance(20)
  await ledger.stop()
  await site.switchWal()
  expectOk(await site.run('verify'))
  for (const link of growing.links) {
    tell(`restoring ${link.label}`)
    await proveRestores(link, growing)
  }
  return { taken: incrementals + 1, ...counts, restores: growing.links.length * 2 }
}

/** Most of what the backup before has stored of it dies. */
async function churn({ site: { server }, ledger, random }: Growing, taken: number): Promise<void> {
  await ledger.advance(20)
  const from = random(1_000_000)
  await server.query(
    taken % 4 < 3
      ? `begin; truncate churned; insert into churned ${rows(from, from + 60_000, 4)}; commit`
      : "update churned set filling = md5(filling || 'x') where id % 3 = 0",
  )
  if (random(2) === 0) await server.query('vacuum churned')
}

async function killBackup({ site, random, counts, options: { tell } }: Growing): Promise<void> {
  const running = startHoldfast(['backup', '--max-rate', '8MB'], { config: site.configuration })
  await sleep(500 + random(3000))
  running.kill('SIGKILL')
  const { code } = await running.ended
  tell(code === 0 ? 'a backup ended before it could be killed' : 'killed a backup')
  if (code !== 0) counts.killed += 1
}

async function takeLink(
  { site, ledger, links, counts, options: { tell } }: Growing,
  type: string,
): Promise<void> {
  const before = await ledger.marker()
  // That data is moved is told to a log only.
  const { stdout, stderr } = expectOk(
    await site.run('--output', 'json', '--log-level', 'debug', 'backup', '--type', type),
  )
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what it says is what is looked at
  const { backup } = JSON.parse(stdout) as BackupDocument
  assert.equal(backup.type, type)
  assert.doesNotMatch(stderr, /everything is read/)
  if (stderr.includes('moving ')) counts.compacted += 1
  const after = await ledger.marker()
  links.push({ label: backup.label, before, after })
  tell(`took ${backup.label}, which stored ${backup.storedBytes} bytes`)
}

async function deleteFromMiddle({ site, random, links, counts, options: { tell } }: Growing): Promise<void> {
  const [deleted] = links.splice(random(links.length - 1), 1)
  if (deleted === undefined) return
  tell(`deleting ${deleted.label}`)
  expectOk(await site.run('delete', deleted.label, '--confirm', 'main'))
  // The first finds what is not needed any more, the second removes it.
  for (let sweep = 0; sweep < 2; sweep += 1)
    expectOk(await site.run('repo', 'sweep', '--grace', '0s', '--confirm', 'main'))
  counts.deleted += 1
}

async function proveRestores({ label, before, after }: Link, { site, ledger }: Growing): Promise<void> {
  const targets: readonly (readonly [Expected, readonly string[]])[] = [
    [betweenMarkers(ledger, before, after), ['--target-immediate']],
    [ledger.expected(after), ['--target-lsn', after.lsn, '--target-exclusive']],
  ]
  for (const [expected, target] of targets) {
    const name = `restored-${label}`
    {
      await using restored = await site.restore(name, '--backup', label, ...target)
      await fullCheck(restored, { expected, exact: true })
    }
    await rm(`${site.folder}/${name}`, { recursive: true })
  }
}

/** A backup is consistent at some moment while it runs: of what was acknowledged meanwhile, either is right. */
function betweenMarkers(ledger: Ledger, before: Marker, after: Marker): Expected {
  const [early, late] = [ledger.expected(before), ledger.expected(after)]
  const known = new Set(early.present)
  return {
    present: early.present,
    absent: late.absent,
    unknown: [...late.unknown, ...late.present.filter((id) => !known.has(id))],
  }
}
