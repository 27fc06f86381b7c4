import { keyedDigest } from '../codec/keyed-digest.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { openSingle, sealSingle } from '../codec/sealed-object.ts'
import { decodeBackupEntry, encodeBackupEntry, type BackupEntry } from './backup-entry.ts'
import { catalogKey, catalogPrefix } from './object-keys.ts'
import type { Repository } from './open-repository.ts'
import { encodeRecord, RecordReader } from './record.ts'
import { refuseNewerFormat } from './repository-header.ts'

/**
 * The newest catalogue entry of a cluster. Entries are numbered and never changed; each holds the whole list, so
 * that reading takes one object, and the digest of the entry before it, so that a whole reading of the catalogue can tell
 * that none was exchanged.
 */
export interface Catalogue {
  /** 0: nothing was ever listed. */
  readonly number: number
  /** Keyed digest of the entry's bytes; empty for number 0. */
  readonly digest: string
  /** Oldest first. */
  readonly backups: readonly BackupEntry[]
}

export type CatalogueChange =
  | { readonly kind: 'publish'; readonly backup: BackupEntry }
  | { readonly kind: 'remove'; readonly label: BackupLabel }

const empty: Catalogue = { number: 0, digest: '', backups: [] }
const mostAttempts = 20
const entryName = /^\d{10}$/

/** The backups that are listed now. Throws `damaged` when the newest entry cannot be read: never falls back to an older one. */
export async function readCatalogue(
  repository: Repository,
  clusterId: string,
  context: RunContext,
): Promise<Catalogue> {
  let number = 0
  for await (const { key } of repository.store.list(catalogPrefix(clusterId), context)) {
    const name = key.slice(catalogPrefix(clusterId).length)
    if (entryName.test(name)) number = Math.max(number, Number(name))
  }
  // A listing may lag behind; the entries do not: ask for the ones after it by name.
  while ((await repository.store.head(catalogKey(clusterId, number + 1), context)) !== undefined) number += 1
  return number === 0 ? empty : readEntry(repository, { clusterId, number }, context)
}

/**
 * Applies one change on top of whatever is newest, and gives the new catalogue. `confirm` is called right before each
 * attempt to write: it throws when the caller may not publish any more.
 */
export async function changeCatalogue(
  repository: Repository,
  {
    clusterId,
    change,
    confirm,
  }: { clusterId: string; change: CatalogueChange; confirm: () => Promise<void> },
  context: RunContext,
): Promise<Catalogue> {
  for (let attempt = 0; attempt < mostAttempts; attempt += 1) {
    const current = await readCatalogue(repository, clusterId, context)
    const backups = applyChange(current.backups, change)
    const number = current.number + 1
    const key = catalogKey(clusterId, number)
    const payload = encodeRecord({
      version: 1,
      number,
      previous: current.digest,
      writtenAtMs: context.clock.now(),
      change: change.kind === 'publish' ? { kind: change.kind, label: change.backup.label } : change,
      backups: backups.map(encodeBackupEntry),
    })
    const sealed = sealSingle(payload, { keys: repository.keys.sealing, kind: 'catalogue-entry', key })
    await confirm()
    if ((await repository.store.putIfAbsent(key, sealed, context)) === 'created') {
      return { number, digest: digestOfEntry(repository, sealed), backups }
    }
  }
  throw new OperationError(
    'busy',
    `listing a change in the catalogue: others were faster ${mostAttempts} times`,
  )
}

function applyChange(backups: readonly BackupEntry[], change: CatalogueChange): readonly BackupEntry[] {
  switch (change.kind) {
    case 'publish':
      return [...backups, change.backup]
    case 'remove':
      return backups.filter((backup) => backup.label !== change.label)
  }
}

async function readEntry(
  repository: Repository,
  { clusterId, number }: { clusterId: string; number: number },
  context: RunContext,
): Promise<Catalogue> {
  const key = catalogKey(clusterId, number)
  const sealed = await repository.store.get(key, undefined, context)
  if (sealed === undefined)
    throw new OperationError('damaged', `reading the catalogue: its entry "${key}" has vanished`)
  const payload = openSingle(sealed, { keys: repository.keys.sealing, kind: 'catalogue-entry', key })
  const reader = RecordReader.decode(payload, `catalogue entry "${key}"`)
  refuseNewerFormat(reader.count('version'), `reading catalogue entry "${key}"`)
  if (reader.count('number') !== number)
    throw new OperationError('damaged', `reading the catalogue: entry "${key}" says it is another one`)
  const backups = reader.records('backups').map(decodeBackupEntry)
  return { number, digest: digestOfEntry(repository, sealed), backups }
}

const digestOfEntry = (repository: Repository, sealed: Uint8Array): string =>
  keyedDigest(repository.keys.namesKey, sealed)
