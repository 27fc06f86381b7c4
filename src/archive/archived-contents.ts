import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ArchivePlace } from './archive-place.ts'
import { archivedNamePrefix, parseWalObjectKey } from './wal-object-key.ts'

/** More contents of one name than this are not a mistake but an attack on the memory of whoever lists them. */
export const mostContents = 1000

/** The digests of all contents that were archived completely under this name. Empty: proven to be absent here. */
export async function listContents(
  name: ArchiveFileName,
  { repository, cluster }: ArchivePlace,
  context: RunContext,
): Promise<readonly string[]> {
  const digests: string[] = []
  for await (const { key } of repository.store.list(archivedNamePrefix(cluster.id, name), context)) {
    const object = parseWalObjectKey(cluster.id, key)
    if (object?.part === 0 && object.name.name === name.name) digests.push(object.digest)
    if (digests.length > mostContents) {
      throw new OperationError(
        'damaged',
        `listing the contents of ${name.name}: found more than ${mostContents}`,
      )
    }
  }
  return digests
}
