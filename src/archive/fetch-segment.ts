import { parseArchiveFileName } from '../domain/archive-file-name.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ArchivePlace } from './archive-place.ts'
import { readArchivedFile } from './read-archived-file.ts'
import type { WalContent } from './read-wal-object.ts'

/** `absent` is proven: the repository was reached and has nothing under this name. */
export type Fetched = { readonly kind: 'found'; readonly bytes: Uint8Array } | { readonly kind: 'absent' }

/**
 * One archived file, verified: its seal, the digest in its name, and that it may stand under that name in this cluster.
 * Whatever cannot be verified is thrown, never "absent": `damaged`, `target-ambiguous`, or what the store said. Holds
 * the whole file in memory; `readArchivedFile` does not.
 */
export async function fetchSegment(
  request: { readonly name: string },
  place: ArchivePlace,
  context: RunContext,
): Promise<Fetched> {
  const bytes = await readArchivedFile({ name: parseArchiveFileName(request.name), read }, place, context)
  return bytes === undefined ? { kind: 'absent' } : { kind: 'found', bytes }
}

async function read({ sizeBytes, chunks }: WalContent): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes)
  let offset = 0
  for await (const chunk of chunks) {
    // Never beyond its end: a content that is longer than it says is not given.
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}
