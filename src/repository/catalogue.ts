import { keyedDigest } from '../codec/keyed-digest.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import {
  decodeListedBackup,
  encodeListedBackup,
  type BackupEntry,
  type ListedBackup,
} from './backup-entry.ts'
import { decodeListedDump, encodeListedDump, type DumpEntry, type ListedDump } from './dump-entry.ts'
import { catalogKey, catalogPrefix } from './object-keys.ts'
import { listNumbers } from './numbered-objects.ts'
import type { Repository } from './open-repository.ts'
import { encodeRecord, RecordReader } from './record.ts'
import { refuseNewerFormat } from './repository-header.ts'
import { openObject, sealObject } from './sealed-store.ts'

/**
 * The newest catalogue entry of a cluster. Entries are numbered and never changed; each holds the whole list, so
 * that reading takes one object, and the digest of the entry before it, so that a whole reading of the catalogue can tell
 * that none was exchanged.
 */
export interface Catalogue extends Listed {
  /** 0: nothing was ever listed. */
  readonly number: number
  /** Keyed digest of the entry's bytes; empty for number 0. */
  readonly digest: string
}

/** What an entry lists. */
interface Listed {
  /** Oldest first. */
  readonly backups: readonly ListedBackup[]
  /** Oldest first. */
  readonly dumps: readonly ListedDump[]
}

/** One entry with what only matters when entries are compared. */
export interface CatalogueEntry extends Catalogue {
  /** The digest of the entry before it. */
  readonly previous: string
  /** By the writer's clock. */
  readonly writtenAtMs: number
}

export type CatalogueChange =
  | {
      readonly kind: 'publish'
      readonly backup: BackupEntry
      /** Of a copy: what was decided about it where it comes from. Default: not pinned, all WAL. */
      readonly decided?: Pick<ListedBackup, 'isPinned' | 'walRetention'>
    }
  /** Another manifest counts from now on, of the same files; what was decided about the backup stays. */
  | { readonly kind: 'revise'; readonly backup: BackupEntry }
  /** `ownWal` lists the backups for which from now on only their own WAL is kept: that is never taken back. */
  | {
      readonly kind: 'remove'
      readonly labels: readonly BackupLabel[]
      readonly ownWal: readonly BackupLabel[]
    }
  | {
      readonly kind: 'publish-dump'
      readonly dump: DumpEntry
      /** Of a copy, as for a backup. Default: not pinned. */
      readonly decided?: Pick<ListedDump, 'isPinned'>
    }
  /** Another head counts from now on, of the same bytes; what was decided about the dump stays. */
  | { readonly kind: 'revise-dump'; readonly dump: DumpEntry }
  | { readonly kind: 'remove-dumps'; readonly labels: readonly BackupLabel[] }
  /** Of a backup or a dump. */
  | { readonly kind: 'pin'; readonly label: BackupLabel }
  | { readonly kind: 'unpin'; readonly label: BackupLabel }
  /** Changes nothing, and takes the number away from whoever was about to write with an older view. */
  | { readonly kind: 'fence' }

export interface ChangeRequest {
  readonly clusterId: string
  /** The change, or how to decide on it: asked anew with whatever is newest at each attempt. It may throw. */
  readonly change: CatalogueChange | ((newest: Catalogue) => CatalogueChange)
  /** Called right before each attempt to write: throws when the caller may not publish any more. */
  readonly confirm: () => Promise<void>
}

/** Before anything was listed. */
export const emptyCatalogue: Catalogue = { number: 0, digest: '', backups: [], dumps: [] }

/** An entry of the second version lists dumps, which whoever knows only the first would lose. */
const backupsVersion = 1
const dumpsVersion = 2
const mostAttempts = 20

/** The backups that are listed now. Throws `damaged` when the newest entry cannot be read: never falls back to an older one. */
export async function readCatalogue(
  repository: Repository,
  clusterId: string,
  context: RunContext,
): Promise<Catalogue> {
  const newest = await readNewestEntry(repository, clusterId, context)
  if (newest === undefined) return emptyCatalogue
  const { number, digest, backups, dumps } = newest
  return { number, digest, backups, dumps }
}

/** The newest entry; undefined when nothing was ever listed. Throws as `readCatalogue` does. */
export async function readNewestEntry(
  repository: Repository,
  clusterId: string,
  context: RunContext,
): Promise<CatalogueEntry | undefined> {
  const listed = await newestListed(repository, clusterId, context)
  if (listed === 0) {
    const number = await findNewestAfter(repository, { clusterId, number: 0 }, context)
    return number === 0 ? undefined : readCatalogueEntry(repository, { clusterId, number }, context)
  }
  // At once: a store may be far away, and there is hardly ever another one behind it.
  const [number, sealed] = await Promise.all([
    findNewestAfter(repository, { clusterId, number: listed }, context),
    repository.store.get(catalogKey(clusterId, listed), undefined, context),
  ])
  return number === listed
    ? openEntry(repository, { clusterId, number }, sealed)
    : readCatalogueEntry(repository, { clusterId, number }, context)
}

/** The number of the newest entry; 0 when there is none. */
async function findNewestNumber(
  repository: Repository,
  clusterId: string,
  context: RunContext,
): Promise<number> {
  const number = await newestListed(repository, clusterId, context)
  return findNewestAfter(repository, { clusterId, number }, context)
}

async function newestListed(repository: Repository, clusterId: string, context: RunContext): Promise<number> {
  return (await listNumbers(repository, catalogPrefix(clusterId), context)).at(-1) ?? 0
}

/**
 * A listing may lag behind; the entries do not: asks for the ones after it by name. A byte is asked for: about what is not
 * there a store is sure at once then, while an answer without a body does not tell why there is none.
 */
async function findNewestAfter(
  { store }: Repository,
  { clusterId, number }: { readonly clusterId: string; readonly number: number },
  context: RunContext,
): Promise<number> {
  let newest = number
  const firstByte = { offset: 0, length: 1 }
  while ((await store.get(catalogKey(clusterId, newest + 1), firstByte, context)) !== undefined) newest += 1
  return newest
}

/**
 * The entries from number `from` to the newest, in order. Throws `damaged` when one is missing, cannot be read, or does
 * not name the one before it: then the catalogue was changed by something that is not holdfast.
 */
export async function* readCatalogueEntries(
  repository: Repository,
  { clusterId, from }: { readonly clusterId: string; readonly from: number },
  context: RunContext,
): AsyncGenerator<CatalogueEntry> {
  const newest = await findNewestNumber(repository, clusterId, context)
  let before: CatalogueEntry | undefined
  for (let number = from; number <= newest; number += 1) {
    const entry = await readCatalogueEntry(repository, { clusterId, number }, context)
    if (before !== undefined && entry.previous !== before.digest) {
      throw new OperationError(
        'damaged',
        `reading the catalogue: entry "${catalogKey(clusterId, number)}" was written after another entry than "${catalogKey(clusterId, before.number)}"`,
        { hint: 'Somebody has exchanged an entry: compare with another copy of the repository.' },
      )
    }
    before = entry
    yield entry
  }
}

/** Applies one change on top of whatever is newest, and gives the new catalogue. */
export async function changeCatalogue(
  repository: Repository,
  { clusterId, change, confirm }: ChangeRequest,
  context: RunContext,
): Promise<Catalogue> {
  for (let attempt = 0; attempt < mostAttempts; attempt += 1) {
    const current = await readCatalogue(repository, clusterId, context)
    const decided = typeof change === 'function' ? change(current) : change
    const listed = applyChange(current, decided)
    const number = current.number + 1
    const key = catalogKey(clusterId, number)
    const payload = encodeRecord({
      version: listed.dumps.length === 0 ? backupsVersion : dumpsVersion,
      number,
      previous: current.digest,
      writtenAtMs: context.clock.now(),
      change: describeChange(decided),
      backups: listed.backups.map(encodeListedBackup),
      ...(listed.dumps.length > 0 && { dumps: listed.dumps.map(encodeListedDump) }),
    })
    const sealed = sealObject(repository, { kind: 'catalogue-entry', key }, payload)
    await confirm()
    if ((await repository.store.putIfAbsent(key, sealed, context)) === 'created') {
      return { number, digest: digestOfEntry(repository, sealed), ...listed }
    }
  }
  throw new OperationError(
    'busy',
    `listing a change in the catalogue: others were faster ${mostAttempts} times`,
  )
}

/** All labels of a catalogue, of either kind: the next one is later than every one of them. */
export function labelsOf({ backups, dumps }: Listed): Set<BackupLabel> {
  return new Set([...backups, ...dumps].map(({ label }) => label))
}

function describeChange(change: CatalogueChange): object {
  if ('backup' in change) return { kind: change.kind, label: change.backup.label }
  return 'dump' in change ? { kind: change.kind, label: change.dump.label } : change
}

/** What a change is not about stays as it is. */
function applyChange({ backups, dumps }: Listed, change: CatalogueChange): Listed {
  switch (change.kind) {
    case 'publish':
    case 'revise':
    case 'remove':
      return { backups: changeBackups(backups, change), dumps }
    case 'publish-dump':
    case 'revise-dump':
    case 'remove-dumps':
      return { backups, dumps: changeDumps(dumps, change) }
    case 'pin':
    case 'unpin':
      return { backups: setPin(backups, change), dumps: setPin(dumps, change) }
    case 'fence':
      return { backups, dumps }
  }
}

type ChangeOf<Kind extends CatalogueChange['kind']> = Extract<CatalogueChange, { readonly kind: Kind }>

function changeBackups(
  backups: readonly ListedBackup[],
  change: ChangeOf<'publish' | 'revise' | 'remove'>,
): readonly ListedBackup[] {
  switch (change.kind) {
    case 'publish':
      if (backups.some(({ label }) => label === change.backup.label)) {
        throw new OperationError('busy', `listing backup ${change.backup.label}: it is listed already`)
      }
      return change.decided === undefined
        ? [...backups, { ...change.backup, isPinned: false, walRetention: 'onward' }]
        : insertByTime(backups, { ...change.backup, ...change.decided })
    case 'revise':
      return backups.map((backup) =>
        backup.label === change.backup.label ? { ...backup, ...change.backup } : backup,
      )
    case 'remove':
      return backups.flatMap((backup): readonly ListedBackup[] => {
        if (change.labels.includes(backup.label)) return []
        return change.ownWal.includes(backup.label) ? [{ ...backup, walRetention: 'own' }] : [backup]
      })
  }
}

function changeDumps(
  dumps: readonly ListedDump[],
  change: ChangeOf<'publish-dump' | 'revise-dump' | 'remove-dumps'>,
): readonly ListedDump[] {
  switch (change.kind) {
    case 'publish-dump':
      if (dumps.some(({ label }) => label === change.dump.label)) {
        throw new OperationError('busy', `listing dump ${change.dump.label}: it is listed already`)
      }
      return change.decided === undefined
        ? [...dumps, { ...change.dump, isPinned: false }]
        : insertByTime(dumps, { ...change.dump, ...change.decided })
    case 'revise-dump':
      return dumps.map((dump) => (dump.label === change.dump.label ? { ...dump, ...change.dump } : dump))
    case 'remove-dumps':
      return dumps.filter(({ label }) => !change.labels.includes(label))
  }
}

/** The last letter of a label says whether it is of a backup or a dump, so no two of both have the same. */
function setPin<One extends ListedBackup | ListedDump>(
  all: readonly One[],
  { kind, label }: ChangeOf<'pin' | 'unpin'>,
): readonly One[] {
  return all.map((one) => (one.label === label ? { ...one, isPinned: kind === 'pin' } : one))
}

/** A copy stands where it was taken: the order is evidence of when that was. */
function insertByTime<One extends ListedBackup | ListedDump>(all: readonly One[], copy: One): readonly One[] {
  const later = all.findIndex(({ stoppedAt }) => stoppedAt > copy.stoppedAt)
  return later === -1 ? [...all, copy] : all.toSpliced(later, 0, copy)
}

/** One entry by its number. Throws `damaged` when it is not there or not what it should be. */
export async function readCatalogueEntry(
  repository: Repository,
  entry: EntryName,
  context: RunContext,
): Promise<CatalogueEntry> {
  const key = catalogKey(entry.clusterId, entry.number)
  return openEntry(repository, entry, await repository.store.get(key, undefined, context))
}

interface EntryName {
  readonly clusterId: string
  readonly number: number
}

function openEntry(
  repository: Repository,
  { clusterId, number }: EntryName,
  sealed: Uint8Array | undefined,
): CatalogueEntry {
  const key = catalogKey(clusterId, number)
  if (sealed === undefined)
    throw new OperationError('damaged', `reading the catalogue: its entry "${key}" has vanished`)
  const payload = openObject(repository, { kind: 'catalogue-entry', key }, sealed)
  const reader = RecordReader.decode(payload, `catalogue entry "${key}"`)
  const version = reader.count('version')
  refuseNewerFormat(version, `reading catalogue entry "${key}"`, dumpsVersion)
  if (reader.count('number') !== number)
    throw new OperationError('damaged', `reading the catalogue: entry "${key}" says it is another one`)
  return {
    number,
    digest: digestOfEntry(repository, sealed),
    previous: reader.string('previous'),
    writtenAtMs: reader.count('writtenAtMs'),
    backups: reader.records('backups').map(decodeListedBackup),
    dumps: version < dumpsVersion ? [] : reader.records('dumps').map(decodeListedDump),
  }
}

const digestOfEntry = (repository: Repository, sealed: Uint8Array): string =>
  keyedDigest(repository.keys.namesKey, sealed)
