import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { walPageSize } from '../wal/page-header.ts'
import type { ArchivePlace } from './archive-place.ts'
import { openArchivedFile } from './open-archived-file.ts'

/**
 * The pages of an archived segment in order, in pieces of whole pages, up to the one that holds the last byte before
 * `endOffset`. Throws `damaged` and `target-ambiguous`.
 */
export async function* archivedPages(
  {
    name,
    place,
    endOffset,
  }: { readonly name: ArchiveFileName; readonly place: ArchivePlace; readonly endOffset: number },
  context: RunContext,
): AsyncGenerator<Uint8Array, void> {
  const content = await openArchivedFile(name, place, context)
  if (content === undefined) {
    throw new OperationError('damaged', `reading segment ${name.name}: it was listed and is missing`)
  }
  let rest = new Uint8Array(0)
  let done = 0
  for await (const chunk of content.chunks) {
    context.signal.throwIfAborted()
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const whole = bytes.length - (bytes.length % walPageSize)
    rest = new Uint8Array(bytes.subarray(whole))
    if (whole > 0) yield bytes.subarray(0, whole)
    done += whole
    if (done >= endOffset) return
  }
  if (rest.length > 0) yield rest
}
