import { surveyArchive } from '../archive/archive-inventory.ts'
import { describePlace } from '../archive/archive-place.ts'
import { isAboutObject } from '../archive/object-trouble.ts'
import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { changeCatalogue, readCatalogue } from '../repository/catalogue.ts'
import { assertSameCluster } from '../repository/cluster-record.ts'
import type { Lease } from '../repository/lease.ts'
import { readLeases } from '../repository/lease-beat.ts'
import { holdReadingLease } from '../restore/hold-restore-lease.ts'
import { createWalNeed } from '../retention/needed-wal.ts'
import { copyDumps, healDumps, type CopiedDump } from './copy-dumps.ts'
import { KnownPacks, type KnownPack } from './known-packs.ts'
import { planTransfer, type TransferPlan } from './plan-transfer.ts'
import { readListedOnce } from './read-listed-once.ts'
import { replacePacks } from './replace-packs.ts'
import { replaceWal } from './replace-wal.ts'
import { reviseBackups } from './revise-backups.ts'
import { transferBackup } from './transfer-backup.ts'
import { acquireListingLease } from './transfer-lease.ts'
import { transferNames } from './transfer-names.ts'
import { transferOwnWal } from './transfer-own-wal.ts'
import { openTransferPool, type PackTools } from './transfer-packs.ts'
import type { TransferPlaces } from './transfer-places.ts'
import { findMissingWal, transferWal, type CopiedWal, type FailedCopy } from './transfer-wal.ts'

export interface TransferRequest {
  /** None: all that the other repository lacks. */
  readonly wanted: readonly BackupLabel[]
  /** Keys of objects of the other repository that are known to be damaged: they are replaced by good ones from here. */
  readonly damaged: readonly string[]
  /** Packs of which the caller knows that the other repository has them, by `packId`. */
  readonly known?: ReadonlyMap<string, KnownPack>
  /** Finds out what would be copied, and copies nothing. */
  readonly isDryRun: boolean
}

export interface TransferResult extends Pick<TransferPlan, 'forgotten' | 'twins'> {
  /** In a dry run those that would be copied, with 0 bytes. */
  readonly copied: readonly { readonly label: BackupLabel; readonly storedBytes: number }[]
  /** In a dry run those that would be copied, with what they take here. */
  readonly dumps: readonly CopiedDump[]
  /** One that is damaged does not keep the others from being copied. */
  readonly failures: readonly FailedCopy[]
  readonly wal: CopiedWal
  /** What was damaged there and is good now: packs, archived files and what belongs to them, backups that list other packs, dumps. */
  readonly repaired: {
    readonly packs: number
    readonly walFiles: number
    readonly backups: readonly BackupLabel[]
    readonly dumps: readonly BackupLabel[]
  }
  readonly nameLists: number
}

/**
 * Copies from one repository of a cluster into another what that one lacks: backups, all WAL that the backups need that it
 * lists then, the lists of names, and dumps. Everything is opened by its seal, and sealed anew with the other's keys. A backup is listed
 * when its WAL, its packs and its manifest are there. Right to repeat: what was copied by a copying that failed is used.
 *
 * Nothing is swept from either meanwhile, and no backup is taken into the other one. Throws `cluster-mismatch` when the two
 * hold different clusters, and `busy` when a backup is being taken into the other one, or a sweep goes over it.
 */
export async function runTransfer(
  request: TransferRequest,
  places: TransferPlaces,
  context: RunContext,
): Promise<TransferResult> {
  const { from, to } = places
  assertSameCluster(to.cluster, from.cluster, to.repository.store.location)
  const preview = await prepare(request, places, context) // refuses what cannot be meant, before anything is written
  if (request.isDryRun) return previewTransfer(preview, places, context)
  await using lease = await acquireListingLease(places, 'backup', context)
  if (request.damaged.length > 0) await refuseRestores(to, context)
  await using _ = await holdReadingLease(from, 'copy', context)
  const held = { ...context, signal: AbortSignal.any([context.signal, lease.lost]) }
  await using pool = openTransferPool(places)
  const tools = { ...places, pool, lease, known: new KnownPacks(request.known) }
  const { failures, ...repaired } = await repairDamage(request.damaged, tools, held)
  const copied = await copyAll(await prepare(request, places, held), tools, held)
  return { ...copied, repaired, failures: [...failures, ...copied.failures] }
}

/** Whatever is damaged may still be read by a restore that needs another part of it. */
async function refuseRestores(
  { repository, cluster }: TransferPlaces['to'],
  context: RunContext,
): Promise<void> {
  const self = readProcessIdentity()
  const leases = await readLeases(repository, { clusterId: cluster.id, self }, context)
  const running = leases.find(({ scope, isHeld }) => isHeld && scope.startsWith('restore-'))
  if (running === undefined) return
  throw new OperationError(
    'busy',
    `repairing "${repository.store.location}": "${running.purpose}" runs there`,
    {
      hint: 'Wait until it has ended; a process that died on another host is passed over after four minutes.',
    },
  )
}

/** The other repository, with what is done to it. */
interface CopyTools extends PackTools {
  readonly lease: Lease
}

/** Before anything is copied, which may build on it. */
async function repairDamage(
  damagedKeys: readonly string[],
  { lease, ...tools }: CopyTools,
  context: RunContext,
): Promise<TransferResult['repaired'] & Pick<TransferResult, 'failures'>> {
  if (damagedKeys.length === 0) return { ...nothingRepaired, failures: [] }
  const repairTools = { ...tools, confirm: () => lease.confirm() }
  const packs = await replacePacks(damagedKeys, repairTools, context)
  const { replaced } = packs
  const { revised, failures } = await reviseBackups({ replaced, damagedKeys }, repairTools, context)
  const wal = await replaceWal(damagedKeys, repairTools, context)
  const dumps = await healDumps(damagedKeys, tools, context)
  return {
    packs: replaced.size,
    walFiles: wal.count,
    backups: revised,
    dumps: dumps.dumps,
    failures: [...packs.failures, ...failures, ...wal.failures, ...dumps.failures],
  }
}

const nothingRepaired: TransferResult['repaired'] = { packs: 0, walFiles: 0, backups: [], dumps: [] }

interface Prepared {
  readonly plan: TransferPlan
  /** Of the backups that the other repository lists, and of those that are copied. */
  readonly isNeeded: (name: ArchiveFileName) => boolean
}

async function prepare(
  { wanted }: Pick<TransferRequest, 'wanted'>,
  { from, to }: TransferPlaces,
  context: RunContext,
): Promise<Prepared> {
  const source = await readCatalogue(from.repository, from.cluster.id, context)
  const target = await readCatalogue(to.repository, to.cluster.id, context)
  const plan = planTransfer({ source, target, wanted, ...(await readListedOnce(to, context)) })
  const { histories } = await surveyArchive(from, context)
  const { walSegmentSize: segmentSize } = from.cluster
  const backups = [...target.backups, ...plan.backups]
  return { plan, isNeeded: createWalNeed({ backups, histories, segmentSize }) }
}

async function previewTransfer(
  { plan, isNeeded }: Prepared,
  places: TransferPlaces,
  context: RunContext,
): Promise<TransferResult> {
  let count = 0
  for await (const _ of findMissingWal(isNeeded, places, context)) count += 1
  return {
    forgotten: plan.forgotten,
    twins: plan.twins,
    copied: plan.backups.map(({ label }) => ({ label, storedBytes: 0 })),
    dumps: plan.dumps.map(({ label, storedBytes }) => ({ label, storedBytes })),
    failures: [],
    wal: { count, bytes: 0 },
    repaired: nothingRepaired,
    nameLists: 0,
  }
}

async function copyAll(
  { plan, isNeeded }: Prepared,
  tools: CopyTools,
  context: RunContext,
): Promise<Omit<TransferResult, 'repaired'>> {
  const copied: TransferResult['copied'][number][] = []
  const failures: FailedCopy[] = []
  const wal = { count: 0, bytes: 0 }
  const addWal = ({ count, bytes }: CopiedWal): void => {
    wal.count += count
    wal.bytes += bytes
  }
  for (const backup of plan.backups) {
    try {
      addWal(await transferOwnWal(backup, tools, context))
      copied.push({ label: backup.label, storedBytes: await copyAndList(backup, tools, context) })
    } catch (error) {
      if (!isOperationError(error) || !isAboutBackup(error)) throw error
      failures.push({ subject: backup.label, error })
    }
  }
  const rest = await transferWal(findMissingWal(isNeeded, tools, context), tools, context)
  addWal(rest)
  const names = await transferNames(isNeeded, tools, context)
  const dumps = await copyDumps(plan.dumps, tools, context)
  return {
    forgotten: plan.forgotten,
    twins: plan.twins,
    copied,
    wal,
    nameLists: names.count,
    dumps: dumps.dumps,
    failures: [...failures, ...rest.failures, ...names.failures, ...dumps.failures],
  }
}

/** Another backup may be copied all the same. */
const isAboutBackup = (error: OperationError): boolean =>
  ['wal-missing', 'repositories-differ'].includes(error.code) || isAboutObject(error)

async function copyAndList(
  backup: ListedBackup,
  { lease, ...tools }: CopyTools,
  context: RunContext,
): Promise<number> {
  const { to } = tools
  const { label, isPinned, walRetention } = backup
  const { entry, storedBytes } = await transferBackup(backup, tools, context)
  const change = { kind: 'publish', backup: entry, decided: { isPinned, walRetention } } as const
  const confirm = (): Promise<void> => lease.confirm()
  await changeCatalogue(to.repository, { clusterId: to.cluster.id, change, confirm }, context)
  context.report({ kind: 'note', message: `backup ${label} is in ${describePlace(to)}` })
  return storedBytes
}
