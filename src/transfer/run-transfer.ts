import { hostname } from 'node:os'
import { surveyArchive } from '../archive/archive-inventory.ts'
import { describePlace } from '../archive/archive-place.ts'
import { waitForWal } from '../archive/wait-for-wal.ts'
import type { WalObject } from '../archive/wal-object-key.ts'
import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readProcessIdentity } from '../platform/process-identity.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { changeCatalogue, readCatalogue, readCatalogueEntries } from '../repository/catalogue.ts'
import { assertSameCluster } from '../repository/cluster-record.ts'
import { acquireLease, type Lease } from '../repository/lease.ts'
import { listNumbers } from '../repository/numbered-objects.ts'
import { catalogPrefix } from '../repository/object-keys.ts'
import { holdReadingLease } from '../restore/hold-restore-lease.ts'
import { createWalNeed } from '../retention/needed-wal.ts'
import { planTransfer, type TransferPlan } from './plan-transfer.ts'
import { replacePacks } from './replace-packs.ts'
import { replaceWal } from './replace-wal.ts'
import { reviseBackups } from './revise-backups.ts'
import { transferBackup } from './transfer-backup.ts'
import { transferNames } from './transfer-names.ts'
import { openTransferPool, type TransferPool } from './transfer-packs.ts'
import type { TransferPlaces } from './transfer-places.ts'
import { findMissingWal, transferWal, type CopiedWal, type FailedCopy } from './transfer-wal.ts'

export interface TransferRequest {
  /** None: all that the other repository lacks. */
  readonly wanted: readonly BackupLabel[]
  /** Keys of objects of the other repository that are known to be damaged: they are replaced by good ones from here. */
  readonly damaged: readonly string[]
  /** Finds out what would be copied, and copies nothing. */
  readonly isDryRun: boolean
}

export interface TransferResult extends Pick<TransferPlan, 'forgotten' | 'twins'> {
  /** In a dry run those that would be copied, with 0 bytes. */
  readonly copied: readonly { readonly label: BackupLabel; readonly storedBytes: number }[]
  /** One that is damaged does not keep the others from being copied. */
  readonly failures: readonly FailedCopy[]
  readonly wal: CopiedWal
  /** What was damaged there and is good now: packs, archived files and what belongs to them, and backups that list other packs. */
  readonly repaired: {
    readonly packs: number
    readonly walFiles: number
    readonly backups: readonly BackupLabel[]
  }
  readonly nameLists: number
}

/**
 * Copies from one repository of a cluster into another what that one lacks: backups, all WAL that the backups need that it
 * lists then, and the lists of names. Everything is opened by its seal, and sealed anew with the other's keys. A backup is listed
 * when its WAL, its packs and its manifest are there. Right to repeat: what was copied by a copying that failed is used.
 *
 * Nothing is swept from either meanwhile, and no backup is taken into the other one. Throws `cluster-mismatch` when the two
 * hold different clusters, and `busy` when a backup is being taken into the other one.
 */
export async function runTransfer(
  request: TransferRequest,
  places: TransferPlaces,
  context: RunContext,
): Promise<TransferResult> {
  const { from, to } = places
  assertSameCluster(to.cluster, from.cluster, to.repository.store.location)
  if (request.isDryRun) return previewTransfer(await prepare(request, places, context))
  await using lease = await acquireLease(
    to.repository,
    {
      clusterId: to.cluster.id,
      scope: 'backup',
      purpose: `copy of cluster "${from.cluster.name}" from "${from.repository.store.location}" by ${hostname()}`,
      holder: readProcessIdentity(),
    },
    context,
  )
  await using _reading = await holdReadingLease(from, 'copy', context)
  const held = { ...context, signal: AbortSignal.any([context.signal, lease.lost]) }
  await using pool = openTransferPool(places)
  const tools = { ...places, pool, lease }
  const repair = await repairDamage(request.damaged, tools, held)
  const copied = await copyAll(await prepare(request, places, held), tools, held)
  const { failures, ...repaired } = repair
  return { ...copied, repaired, failures: [...failures, ...copied.failures] }
}

/** The other repository, with what is done to it. */
interface CopyTools extends TransferPlaces {
  readonly pool: TransferPool
  readonly lease: Lease
}

/** Before anything is copied, which may build on it. */
async function repairDamage(
  damagedKeys: readonly string[],
  { lease, ...tools }: CopyTools,
  context: RunContext,
): Promise<TransferResult['repaired'] & Pick<TransferResult, 'failures'>> {
  if (damagedKeys.length === 0) return { packs: 0, walFiles: 0, backups: [], failures: [] }
  const repairTools = { ...tools, confirm: () => lease.confirm() }
  const packs = await replacePacks(damagedKeys, repairTools, context)
  const { replaced } = packs
  const { revised, failures } = await reviseBackups({ replaced, damagedKeys }, repairTools, context)
  const wal = await replaceWal(damagedKeys, repairTools, context)
  return {
    packs: replaced.size,
    walFiles: wal.count,
    backups: revised,
    failures: [...packs.failures, ...failures, ...wal.failures],
  }
}

interface Prepared {
  readonly plan: TransferPlan
  readonly missingWal: readonly WalObject[]
  readonly isNeeded: (name: ArchiveFileName) => boolean
  /** Of one backup alone, from its start to its stop. */
  readonly isOwn: (backup: ListedBackup) => (name: ArchiveFileName) => boolean
}

async function prepare(
  { wanted }: Pick<TransferRequest, 'wanted'>,
  places: TransferPlaces,
  context: RunContext,
): Promise<Prepared> {
  const { from, to } = places
  const { backups: source } = await readCatalogue(from.repository, from.cluster.id, context)
  const { backups: target } = await readCatalogue(to.repository, to.cluster.id, context)
  const everListed = await readEverListed(places, context)
  const plan = planTransfer({ source, target, everListed, wanted })
  const { histories } = await surveyArchive(from, context)
  const needOf = (backups: readonly ListedBackup[]): ((name: ArchiveFileName) => boolean) =>
    createWalNeed({ backups, histories, segmentSize: from.cluster.walSegmentSize })
  const isNeeded = needOf([...target, ...plan.backups])
  return {
    plan,
    isNeeded,
    isOwn: (backup) => needOf([{ ...backup, walRetention: 'own' }]),
    missingWal: await findMissingWal(isNeeded, places, context),
  }
}

/** Old entries of a catalogue are deleted in time: then whoever asks knows by the age of a backup. */
async function readEverListed(
  { to: { repository, cluster } }: TransferPlaces,
  context: RunContext,
): Promise<ReadonlySet<BackupLabel>> {
  const [first] = await listNumbers(repository, catalogPrefix(cluster.id), context)
  const labels = new Set<BackupLabel>()
  if (first === undefined) return labels
  const entries = readCatalogueEntries(repository, { clusterId: cluster.id, from: first }, context)
  for await (const { backups } of entries) for (const { label } of backups) labels.add(label)
  return labels
}

function previewTransfer({ plan, missingWal }: Prepared): TransferResult {
  const { backups, forgotten, twins } = plan
  return {
    forgotten,
    twins,
    copied: backups.map(({ label }) => ({ label, storedBytes: 0 })),
    failures: [],
    wal: { count: missingWal.length, bytes: 0 },
    repaired: { packs: 0, walFiles: 0, backups: [] },
    nameLists: 0,
  }
}

async function copyAll(
  { plan, isNeeded, isOwn, missingWal }: Prepared,
  { pool, lease, ...places }: CopyTools,
  context: RunContext,
): Promise<Omit<TransferResult, 'repaired'>> {
  const copied: TransferResult['copied'][number][] = []
  const failures: FailedCopy[] = []
  const wal = { count: 0, bytes: 0 }
  let missing = missingWal
  const bring = async (wanted: (name: ArchiveFileName) => boolean): Promise<void> => {
    const brought = await transferWal(
      missing.filter(({ name }) => wanted(name)),
      places,
      context,
    )
    missing = missing.filter(({ name }) => !wanted(name))
    wal.count += brought.count
    wal.bytes += brought.bytes
    failures.push(...brought.failures)
  }
  for (const backup of plan.backups) {
    try {
      await bring(isOwn(backup))
      const storedBytes = await copyAndList(backup, { ...places, pool, lease }, context)
      copied.push({ label: backup.label, storedBytes })
    } catch (error) {
      if (!isOperationError(error) || !isAboutBackup(error)) throw error
      failures.push({ subject: backup.label, error })
    }
  }
  await bring(() => true)
  const nameLists = await transferNames(isNeeded, places, context)
  return { forgotten: plan.forgotten, twins: plan.twins, copied, failures, wal, nameLists }
}

/** Another backup may be copied all the same. */
const isAboutBackup = ({ code }: OperationError): boolean =>
  ['damaged', 'wal-missing', 'repositories-differ'].includes(code)

async function copyAndList(
  backup: ListedBackup,
  { lease, ...tools }: CopyTools,
  context: RunContext,
): Promise<number> {
  const { to } = tools
  const { label } = backup
  await requireOwnWal(backup, tools, context)
  const { entry, storedBytes } = await transferBackup(backup, tools, context)
  const confirm = (): Promise<void> => lease.confirm()
  const list = { clusterId: to.cluster.id, confirm }
  await changeCatalogue(to.repository, { ...list, change: { kind: 'publish', backup: entry } }, context)
  context.report({ kind: 'note', message: `backup ${label} is in ${describePlace(to)}` })
  if (backup.isPinned) {
    await changeCatalogue(to.repository, { ...list, change: { kind: 'pin', label } }, context)
  }
  if (backup.walRetention === 'own') {
    const change = { kind: 'remove', labels: [], ownWal: [label] } as const
    await changeCatalogue(to.repository, { ...list, change }, context)
  }
  return storedBytes
}

/** All WAL of the backup is in the other repository and can be read there (R18). */
async function requireOwnWal(
  { label, timeline, startLsn, stopLsn }: ListedBackup,
  { from, to }: TransferPlaces,
  context: RunContext,
): Promise<void> {
  const wait = { timeline, fromLsn: startLsn, toLsn: stopLsn, timeoutMs: 0 }
  try {
    await waitForWal(wait, { repositories: [to] }, context)
  } catch (cause) {
    if (!isOperationError(cause, 'archive-timeout')) throw cause
    throw new OperationError(
      'wal-missing',
      `copying backup ${label}: WAL of it is missing in ${describePlace(from)}, and in ${describePlace(to)} too`,
      { cause, hint: 'It cannot be restored from either; take a new backup.' },
    )
  }
}
