import type { ArchiveFileName } from '../domain/archive-file-name.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { describePlace, type ArchivePlace } from './archive-place.ts'
import { listContents } from './archived-contents.ts'
import { ContentDigest } from './content-digest.ts'
import { openArchivedFile } from './open-archived-file.ts'
import type { WalContent } from './read-wal-object.ts'

interface Reading<T> {
  readonly name: ArchiveFileName
  /** May be called again, with the content of another repository, when reading one to its end has failed. */
  readonly read: (content: WalContent) => Promise<T>
  /** Default: `openArchivedFile`. */
  readonly open?: typeof openArchivedFile
}

/**
 * Reads an archived file; undefined when it is proven absent. What is damaged is taken from a spare repository, if that has
 * the very same content: it must have a digest by which this one names it. What is missing is taken from one only where
 * they are mixed, and is then absent only when all of them say so. Throws what `openArchivedFile` and `read` throw.
 */
export async function readArchivedFile<T>(
  reading: Reading<T>,
  place: ArchivePlace,
  context: RunContext,
): Promise<T | undefined> {
  const { name, read, open = openArchivedFile } = reading
  try {
    const content = await open(name, place, context)
    if (content !== undefined) return await read(content)
  } catch (error) {
    if (!isOperationError(error, 'damaged')) throw error
    const spare = await readSame(reading, place, context)
    if (spare === undefined) throw error
    return spare.value
  }
  return place.spares?.areMixed === true ? readMissing(reading, place.spares, context) : undefined
}

async function readSame<T>(
  { name, read, open = openArchivedFile }: Reading<T>,
  place: ArchivePlace,
  context: RunContext,
): Promise<{ readonly value: T } | undefined> {
  if (place.spares === undefined) return undefined
  const digests = await listContents(name, place, context)
  for (const spare of (await place.spares.open()).places) {
    try {
      const content = await open(name, spare, context)
      if (content === undefined) continue
      const digest = new ContentDigest(place.repository.keys.namesKey, name.name)
      const chunks = named(content.chunks, {
        digest,
        digests,
        what: `${name.name} of ${describePlace(spare)}`,
      })
      const value = await read({ ...content, chunks })
      context.report({
        kind: 'warning',
        message: `${name.name} of ${describePlace(place)} is damaged, and was taken from "${spare.repository.store.location}"`,
        hint: 'Replace it with "holdfast repo copy --repair".',
      })
      return { value }
    } catch (error) {
      context.signal.throwIfAborted()
      if (!isOperationError(error)) throw error
      context.report({ kind: 'warning', message: error.message })
    }
  }
  return undefined
}

/** Fails at the end unless the content has one of these digests. */
async function* named(
  chunks: AsyncIterable<Uint8Array>,
  {
    digest,
    digests,
    what,
  }: { readonly digest: ContentDigest; readonly digests: readonly string[]; readonly what: string },
): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of chunks) {
    digest.update(chunk)
    yield chunk
  }
  if (digests.includes(digest.finish())) return
  throw new OperationError('damaged', `reading ${what}: it is another content than the damaged one was`)
}

async function readMissing<T>(
  { name, read, open = openArchivedFile }: Reading<T>,
  spares: NonNullable<ArchivePlace['spares']>,
  context: RunContext,
): Promise<T | undefined> {
  const { places, failures } = await spares.open()
  const unknown = [...failures]
  for (const spare of places) {
    try {
      const content = await open(name, spare, context)
      if (content !== undefined) return await read(content)
    } catch (error) {
      context.signal.throwIfAborted()
      unknown.push(error)
    }
  }
  if (unknown.length > 0) throw unknown[0]
  return undefined
}
