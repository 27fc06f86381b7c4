import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ArchivePlace } from './archive-place.ts'
import { mostContents } from './archived-contents.ts'
import { archivedFolder, parseWalObjectKey } from './wal-object-key.ts'

/** A walk along timelines needs few at a time. */
const mostFolders = 4

type Contents = ReadonlyMap<string, readonly string[]>

/**
 * Which contents segments have in the archive, for who asks for many in their order: a folder of segments is listed once,
 * so what is archived meanwhile may be missing.
 */
export class ArchivedFolders {
  readonly place: ArchivePlace
  /** By prefix, the one that was asked for last at the end. */
  readonly #folders = new Map<string, Promise<Contents>>()

  constructor(place: ArchivePlace) {
    this.place = place
  }

  /** The digests of all contents of a segment. Empty: it is not archived. */
  async contentsOf(name: ArchiveFileName, context: RunContext): Promise<readonly string[]> {
    const prefix = archivedFolder(this.place.cluster.id, name)
    const listing = this.#folders.get(prefix) ?? this.#list(prefix, context)
    this.#folders.delete(prefix)
    this.#folders.set(prefix, listing)
    const [oldest] = this.#folders.keys()
    if (oldest !== undefined && this.#folders.size > mostFolders) this.#folders.delete(oldest)
    return (await listing).get(name.name) ?? []
  }

  async #list(prefix: string, context: RunContext): Promise<Contents> {
    const { repository, cluster } = this.place
    const contents = new Map<string, string[]>()
    for await (const { key } of repository.store.list(prefix, context)) {
      const object = parseWalObjectKey(cluster.id, key)
      if (object?.part !== 0) continue
      const digests = contents.get(object.name.name)
      if (digests === undefined) contents.set(object.name.name, [object.digest])
      else if (digests.length < mostContents) digests.push(object.digest)
    }
    return contents
  }
}
