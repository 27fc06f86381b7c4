import { describePlace } from '../archive/archive-place.ts'
import { isAboutObject } from '../archive/object-trouble.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { changeCatalogue, readCatalogue } from '../repository/catalogue.ts'
import { assertSameCluster } from '../repository/cluster-record.ts'
import type { ListedDump } from '../repository/dump-entry.ts'
import type { DumpHead } from '../repository/dump-head.ts'
import { readDumpHead } from '../repository/dump-reader.ts'
import { dumpFolder } from '../repository/object-keys.ts'
import { dumpScope } from '../repository/take-dump.ts'
import { holdReadingLease } from '../restore/hold-restore-lease.ts'
import { isOtherDump, unlisted } from './plan-transfer.ts'
import { transferDump, type DumpTools } from './transfer-dump.ts'
import { acquireListingLease } from './transfer-lease.ts'
import type { TransferPlaces } from './transfer-places.ts'
import type { FailedCopy } from './transfer-wal.ts'

export interface CopiedDump {
  readonly label: BackupLabel
  readonly storedBytes: number
}

interface CopiedDumps {
  readonly dumps: readonly CopiedDump[]
  /** One that is damaged does not keep the others from being copied. */
  readonly failures: readonly FailedCopy[]
}

/**
 * Copies one listed dump into another repository of the cluster and lists it there, with its pin. Gives what was stored: 0 when
 * that one has it. Backups may be taken into either meanwhile. Throws `busy` while a dump is taken there, or a sweep runs.
 */
export async function copyListedDump(
  label: BackupLabel,
  places: TransferPlaces,
  context: RunContext,
): Promise<number> {
  const { from, to } = places
  assertSameCluster(to.cluster, from.cluster, to.repository.store.location)
  await using _ = await holdReadingLease(from, 'copy', context)
  const listed = await readCatalogue(from.repository, from.cluster.id, context)
  const dump = listed.dumps.find((candidate) => candidate.label === label)
  if (dump === undefined) throw unlisted(label)
  return await copyDump(dump, places, context)
}

/** Copies dumps one by one and lists each. Whoever calls this holds a lease for reading. */
export async function copyDumps(
  dumps: readonly ListedDump[],
  places: TransferPlaces,
  context: RunContext,
): Promise<CopiedDumps> {
  const copied: CopiedDump[] = []
  const failures: FailedCopy[] = []
  for (const dump of dumps) {
    try {
      copied.push({ label: dump.label, storedBytes: await copyDump(dump, places, context) })
    } catch (error) {
      if (!isAboutDump(error)) throw error
      failures.push({ subject: dump.label, error })
    }
  }
  return { dumps: copied, failures }
}

/**
 * Makes whole the listed dumps of which objects are damaged, as far as the other repository lists the very same. A part that was
 * replaced has another seal, so the dump gets another head; until that is listed it cannot be loaded there.
 */
export async function healDumps(
  damagedKeys: readonly string[],
  places: TransferPlaces,
  context: RunContext,
): Promise<{ readonly dumps: readonly BackupLabel[]; readonly failures: readonly FailedCopy[] }> {
  const { from, to } = places
  const folder = dumpFolder(to.cluster.id)
  const keys = damagedKeys.filter((key) => key.startsWith(folder))
  const damaged = new Set(keys.map((key) => key.slice(folder.length).split('/')[0]))
  const { dumps: there } = await readCatalogue(to.repository, to.cluster.id, context)
  const { dumps: here } = await readCatalogue(from.repository, from.cluster.id, context)
  const healed: BackupLabel[] = []
  const failures: FailedCopy[] = []
  for (const dump of there.filter(({ label }) => damaged.has(label))) {
    const { label } = dump
    try {
      const good = here.find((candidate) => candidate.label === label)
      if (good === undefined || isOtherDump(good, dump)) throw notThere(label, places)
      if (await healDump({ dump, good }, places, context)) healed.push(label)
    } catch (error) {
      if (!isAboutDump(error) && !isOperationError(error, 'not-found')) throw error
      failures.push({ subject: label, error })
    }
  }
  return { dumps: healed, failures }
}

/** Another dump may be copied all the same. */
function isAboutDump(error: unknown): error is OperationError {
  const isTold = isOperationError(error, 'busy') || isOperationError(error, 'repositories-differ')
  return isTold || isAboutObject(error)
}

/** Does something to one dump in the other repository while nobody else does. */
async function withDumpLease<Result>(
  places: TransferPlaces,
  context: RunContext,
  work: (tools: DumpTools, context: RunContext) => Promise<Result>,
): Promise<Result> {
  await using lease = await acquireListingLease(places, dumpScope, context)
  const held = { ...context, signal: AbortSignal.any([context.signal, lease.lost]) }
  return await work({ ...places, confirm: () => lease.confirm() }, held)
}

function copyDump(dump: ListedDump, places: TransferPlaces, context: RunContext): Promise<number> {
  return withDumpLease(places, context, async (tools, held) => {
    const { from, to, confirm } = tools
    const { label, isPinned } = dump
    // While we waited, somebody else may have copied it: what is listed is not touched.
    const { dumps: listed } = await readCatalogue(to.repository, to.cluster.id, held)
    const there = listed.find((candidate) => candidate.label === label)
    if (there !== undefined && !isOtherDump(dump, there)) return 0
    if (there !== undefined) {
      throw new OperationError(
        'repositories-differ',
        `copying dump ${label} from "${from.repository.store.location}": "${to.repository.store.location}" lists another dump of that label`,
        { hint: 'Both can be loaded, each from its repository.' },
      )
    }
    const { entry, storedBytes } = await transferDump({ dump }, tools, held)
    const change = { kind: 'publish-dump', dump: entry, decided: { isPinned } } as const
    await changeCatalogue(to.repository, { clusterId: to.cluster.id, change, confirm }, held)
    held.report({ kind: 'note', message: `dump ${label} is in ${describePlace(to)}` })
    return storedBytes
  })
}

interface DamagedDump {
  readonly dump: ListedDump
  /** As the other repository lists it. */
  readonly good: ListedDump
}

/** Whether anything had to be replaced. */
function healDump(
  { dump, good }: DamagedDump,
  places: TransferPlaces,
  context: RunContext,
): Promise<boolean> {
  return withDumpLease(places, context, async (tools, held) => {
    const { to, confirm } = tools
    const { entry, storedBytes } = await transferDump(
      { dump: good, own: await readOwnHead(dump, tools, held) },
      tools,
      held,
    )
    if (entry.headDigest !== dump.headDigest) {
      const change = { kind: 'revise-dump', dump: entry } as const
      await changeCatalogue(to.repository, { clusterId: to.cluster.id, change, confirm }, held)
    }
    return storedBytes > 0
  })
}

/** Undefined: it is damaged. */
async function readOwnHead(
  dump: ListedDump,
  { to }: TransferPlaces,
  context: RunContext,
): Promise<DumpHead | undefined> {
  try {
    return await readDumpHead(to, dump, context)
  } catch (error) {
    if (isAboutObject(error)) return undefined
    throw error
  }
}

function notThere(label: BackupLabel, { from }: TransferPlaces): OperationError {
  return new OperationError(
    'not-found',
    `repairing dump ${label}: "${from.repository.store.location}" does not list this dump`,
    { hint: 'It cannot be repaired: delete it, and take a new one.' },
  )
}
