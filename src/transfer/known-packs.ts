import { isAboutObject } from '../archive/object-trouble.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import { equalBytes } from '../codec/digest.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import type { ManifestHead, PackReference } from '../repository/manifest-head.ts'
import { readManifestHead } from '../repository/manifest-reader.ts'
import { isTwin } from './plan-transfer.ts'
import type { TransferPlaces } from './transfer-places.ts'

/** How a repository means a pack. */
export type PackIdentity = Pick<PackReference, 'indexTag' | 'sizeBytes'>

/** A pack that both repositories have. */
export interface KnownPack extends PackIdentity {
  /** How the repository means it that is copied from. */
  readonly sourceTag: Uint8Array
}

/** One of a repository's packs: label and number. */
export const packId = ({ label, number }: Pick<PackReference, 'label' | 'number'>): string =>
  `${label}/${number}`

/**
 * Packs of which it is known that both repositories have the same: from backups that both list, and from what was copied. They
 * need not be looked at again, so that copying an incremental backup costs what it added.
 */
export class KnownPacks {
  readonly #packs: Map<string, KnownPack>
  /** Newest first; undefined until it is wanted. */
  #common: ListedPair[] | undefined

  constructor(given: ReadonlyMap<string, KnownPack> = new Map()) {
    this.#packs = new Map(given)
  }

  /** Undefined: nobody can tell without looking. */
  get(reference: PackReference): PackIdentity | undefined {
    const known = this.#packs.get(packId(reference))
    return known !== undefined && equalBytes(known.sourceTag, reference.indexTag) ? known : undefined
  }

  /** The packs of a backup that was copied, in the order of its manifest. */
  add(head: ManifestHead, copied: readonly PackReference[]): void {
    for (const [index, identity] of copied.entries()) {
      const reference = head.packs[index]
      if (reference !== undefined) this.put(reference, identity)
    }
  }

  /** What is put counts more than what manifests say. */
  put(reference: PackReference, { indexTag, sizeBytes }: PackIdentity): void {
    this.#packs.set(packId(reference), { indexTag, sizeBytes, sourceTag: reference.indexTag })
  }

  /** Reads manifests of backups that both list, newest first, until all these packs are known or there are no more. */
  async learn(
    references: readonly PackReference[],
    places: TransferPlaces,
    context: RunContext,
  ): Promise<void> {
    this.#common ??= await findCommon(places, context)
    while (references.some((reference) => this.get(reference) === undefined)) {
      const pair = this.#common.shift()
      if (pair === undefined) return
      await this.#learnFrom(pair, places, context)
    }
  }

  async #learnFrom(
    { here, there }: ListedPair,
    { from, to }: TransferPlaces,
    context: RunContext,
  ): Promise<void> {
    const source = await readHeadIfGood(here, from, context)
    const target = await readHeadIfGood(there, to, context)
    const theirs = new Map(target?.packs.map((pack) => [packId(pack), pack]))
    for (const reference of source?.packs ?? []) {
      const same = theirs.get(packId(reference))
      if (same?.rawBytes !== reference.rawBytes || this.#packs.has(packId(reference))) continue
      this.put(reference, same)
    }
  }
}

/** One backup as each of the two repositories lists it. */
export interface ListedPair {
  readonly here: ListedBackup
  readonly there: ListedBackup
}

/** The backups that both list, newest first. Of two backups with the same label none. */
export async function findCommon({ from, to }: TransferPlaces, context: RunContext): Promise<ListedPair[]> {
  const { backups } = await readCatalogue(from.repository, from.cluster.id, context)
  const { backups: others } = await readCatalogue(to.repository, to.cluster.id, context)
  const byLabel = new Map(others.map((backup) => [backup.label, backup]))
  return backups.toReversed().flatMap((here) => {
    const there = byLabel.get(here.label)
    return there === undefined || isTwin(here, there) ? [] : [{ here, there }]
  })
}

/** Undefined when it is damaged. */
export async function readHeadIfGood(
  backup: ListedBackup,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<ManifestHead | undefined> {
  try {
    return await readManifestHead(repository, { clusterId: cluster.id, ...backup }, context)
  } catch (error) {
    if (isAboutObject(error)) return undefined
    throw error
  }
}
