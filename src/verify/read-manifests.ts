import type { ArchivePlace } from '../archive/archive-place.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ListedBackup } from '../repository/backup-entry.ts'
import type { ManifestEntry } from '../repository/manifest-entry.ts'
import type { ManifestHead, PackReference } from '../repository/manifest-head.ts'
import { readManifestEntries, readManifestHead } from '../repository/manifest-reader.ts'
import { manifestKey, packKey } from '../repository/object-keys.ts'
import { packName, NeededPack, type NeededPacks } from './needed-packs.ts'
import { readOrProblem, type Finding } from './object-problem.ts'
import { packGroupId, packsPerGroup, type Group } from './verify-groups.ts'

export interface ManifestsResult {
  readonly findings: readonly Finding[]
  readonly objects: number
  /** What is wanted of the packs in the given groups. */
  readonly needed: NeededPacks
  /** The groups that hold a backup's packs, for each backup whose manifest can be read. */
  readonly groupsOf: ReadonlyMap<BackupLabel, ReadonlySet<string>>
  /** Packs that no listed backup refers to. */
  readonly unreferenced: { readonly packs: number; readonly bytes: number }
}

interface ManifestsRequest {
  readonly backups: readonly ListedBackup[]
  /** All that are stored. */
  readonly groups: ReadonlyMap<string, Group>
  /** What is wanted is gathered for these only, to bound memory. */
  readonly wanted: ReadonlySet<string>
}

/**
 * Reads the manifests of all listed backups from the first byte to the last, and compares their pack tables with what is
 * stored. Which packs are missing is for the caller to confirm: a backup may have been removed meanwhile.
 */
export async function readManifests(
  request: ManifestsRequest,
  place: ArchivePlace,
  context: RunContext,
): Promise<ManifestsResult> {
  const reading = new ManifestReading(request, place)
  for (const [index, backup] of request.backups.entries()) {
    context.report({
      kind: 'progress',
      phase: 'reading manifests',
      done: index,
      total: request.backups.length,
      unit: 'files',
    })
    await reading.read(backup, context)
  }
  return reading.finish()
}

class ManifestReading {
  readonly #request: ManifestsRequest
  readonly #place: ArchivePlace
  readonly #findings = new Map<string, Finding>()
  readonly #needed: NeededPacks = new Map()
  readonly #groupsOf = new Map<BackupLabel, ReadonlySet<string>>()
  /** A bit for each pack of a group: whether a backup refers to it. */
  readonly #referenced = new Map<string, number>()
  #objects = 0

  constructor(request: ManifestsRequest, place: ArchivePlace) {
    this.#request = request
    this.#place = place
  }

  async read(backup: ListedBackup, context: RunContext): Promise<void> {
    const { repository, cluster } = this.#place
    const key = manifestKey(cluster.id, backup)
    const read = await readOrProblem(async () => {
      const head = await readManifestHead(repository, { clusterId: cluster.id, ...backup }, context)
      this.#objects += 1
      const wanted = this.#readPackTable(head)
      const entries = readManifestEntries(repository, { clusterId: cluster.id, head }, context)
      for await (const entry of entries) addExtents(wanted, entry)
      this.#objects += head.parts.length
    })
    if ('problem' in read)
      this.#find({ key: nameIn(read.problem, key), kind: 'manifest', problem: read.problem })
  }

  finish(): ManifestsResult {
    let packs = 0
    let bytes = 0
    for (const group of this.#request.groups.values()) {
      if (group.kind !== 'packs') continue
      const bits = this.#referenced.get(group.id) ?? 0
      for (const [index, number] of group.numbers.entries()) {
        if ((bits & bitOf(number)) !== 0) continue
        packs += 1
        bytes += group.sizes[index] ?? 0
      }
    }
    return {
      findings: [...this.#findings.values()],
      objects: this.#objects,
      needed: this.#needed,
      groupsOf: this.#groupsOf,
      unreferenced: { packs, bytes },
    }
  }

  /** What the manifest wants of each pack of its table; undefined for those that are not looked at now. */
  #readPackTable({ packs, backup }: ManifestHead): readonly (NeededPack | undefined)[] {
    const groups = new Set<string>()
    const wanted = packs.map((pack) => {
      const id = packGroupId(pack)
      groups.add(id)
      this.#referenced.set(id, (this.#referenced.get(id) ?? 0) | bitOf(pack.number))
      this.#compareSize(pack, id)
      return this.#request.wanted.has(id) ? this.#neededOf(pack) : undefined
    })
    this.#groupsOf.set(backup.label, groups)
    return wanted
  }

  #compareSize(pack: PackReference, groupId: string): void {
    const group = this.#request.groups.get(groupId)
    const index = group?.kind === 'packs' ? group.numbers.indexOf(pack.number) : -1
    const sizeBytes = group?.kind === 'packs' ? group.sizes[index] : undefined
    if (sizeBytes === pack.sizeBytes) return
    const key = packKey(this.#place.cluster.id, pack)
    if (sizeBytes === undefined) {
      this.#find({ key, kind: 'pack', problem: `reading pack "${key}": it is missing`, isAbsent: true })
      return
    }
    const problem = `reading pack "${key}": expected ${pack.sizeBytes} bytes, found ${sizeBytes}`
    this.#find({ key, kind: 'pack', problem })
  }

  #neededOf(pack: PackReference): NeededPack {
    const name = packName(pack)
    const known = this.#needed.get(name)
    if (known !== undefined) return known
    const added = new NeededPack(pack.indexTag)
    this.#needed.set(name, added)
    return added
  }

  #find(finding: Omit<Finding, 'group'>): void {
    this.#findings.set(finding.key, { ...finding, group: undefined })
  }
}

function addExtents(wanted: readonly (NeededPack | undefined)[], entry: ManifestEntry): void {
  if (entry.kind !== 'file') return
  for (const { length, source } of entry.extents) {
    if (source.kind === 'unit') wanted[source.pack]?.add(source.unit, source.offset + length)
  }
}

const bitOf = (number: number): number => 1 << ((number - 1) % packsPerGroup)

/** Problems of a part name the part; all others are the head's. */
function nameIn(problem: string, headKey: string): string {
  const [, named = headKey] = /"([^"]+\/part-\d+)"/.exec(problem) ?? []
  return named
}
