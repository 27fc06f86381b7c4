import { packPayload } from '../codec/compression.ts'
import { createObjectSealer, type SealingKeys } from '../codec/sealed-object.ts'
import { parseArchiveFileName, type ArchiveFileName } from '../domain/archive-file-name.ts'
import { walPageSize } from '../wal/page-header.ts'
import { largestTextBytes } from './check-archived-file.ts'
import { ContentDigest } from './content-digest.ts'
import type { FileMemory } from './file-memory.ts'
import { releaseMemory } from './release-memory.ts'
import { encodeWalObjectHead, frameBytes } from './wal-object-head.ts'
import { walObjectKey } from './wal-object-key.ts'
import { readWholeFile } from './wal-source.ts'

/** Whom a file is sealed for: a cluster in a repository. */
interface SealPlace {
  readonly clusterId: string
  readonly namesKey: Uint8Array
  readonly sealing: SealingKeys
}

/** Everything that reading, naming, compressing and sealing a file needs; can be sent to a worker. */
export interface SealRequest {
  readonly path: string
  readonly fileName: string
  readonly compressionLevel: number
  readonly places: readonly SealPlace[]
}

export interface SealedObject {
  readonly digest: string
  readonly key: string
  readonly sealed: Uint8Array
  /** Of a segment, where one was made: the object that goes beside it. */
  readonly index?: { readonly key: string; readonly sealed: Uint8Array } | undefined
}

export interface SealedFile {
  readonly kind: 'sealed'
  readonly sizeBytes: number
  /** As the system gives it, in nanoseconds: which version of the file this is. */
  readonly modifiedAtNs: bigint
  /** What must be looked at to know whether the file may stand under its name. */
  readonly beginning: Uint8Array
  /** One for each place, in their order. */
  readonly objects: readonly SealedObject[]
  /** Why no index was made. */
  readonly indexProblem?: string
}

/** `large`: the file has to be archived in parts, and was not read. */
export type SealAnswer = SealedFile | { readonly kind: 'large' }

/**
 * Reads a file once, into `memory`, and makes its one object for each place of those very bytes (R21). Nothing is stored
 * yet, nor checked. Takes about 25 ms for 16 MiB, in this thread; throws `file-unreadable`.
 */
export function sealWholeFile(request: SealRequest, memory: FileMemory): SealAnswer {
  const file = readWholeFile(request.path, memory)
  if (file === undefined) return { kind: 'large' }
  const { content, modifiedAtNs } = file
  const objects = sealContent(content, request)
  // A copy: a view would be sent to another thread with all of the memory behind it.
  const beginning = new Uint8Array(
    content.subarray(0, beginningBytes(parseArchiveFileName(request.fileName))),
  )
  return { kind: 'sealed', sizeBytes: content.length, modifiedAtNs, beginning, objects }
}

/** Makes the one object of a file that is not large for each place, of its content. */
export function sealContent(
  content: Uint8Array,
  { fileName, compressionLevel, places }: Omit<SealRequest, 'path'>,
): readonly SealedObject[] {
  const name = parseArchiveFileName(fileName)
  const payloads = packContent(content, compressionLevel)
  const objects = places.map((place) => sealFor(place, { name, content, payloads }))
  for (const part of payloads.flat()) if (part.buffer !== content.buffer) releaseMemory(part)
  return objects
}

/** How much of a file `checkArchivedFile` looks at. */
export function beginningBytes({ kind }: ArchiveFileName): number {
  return kind === 'segment' || kind === 'partial' ? walPageSize : largestTextBytes
}

type Payload = readonly Uint8Array[]

/** The frames of the object but for their seals: once, for however many places. */
function packContent(content: Uint8Array, compressionLevel: number): readonly Payload[] {
  const payloads = [packPayload(encodeWalObjectHead({ contentBytes: content.length, parts: [] }), 0)]
  for (let offset = 0; offset < content.length; offset += frameBytes) {
    payloads.push(packPayload(content.subarray(offset, offset + frameBytes), compressionLevel))
  }
  return payloads
}

interface Packed {
  readonly name: ArchiveFileName
  readonly content: Uint8Array
  readonly payloads: readonly Payload[]
}

function sealFor(place: SealPlace, { name, content, payloads }: Packed): SealedObject {
  const contentDigest = new ContentDigest(place.namesKey, name.name)
  contentDigest.update(content)
  const digest = contentDigest.finish()
  const key = walObjectKey(place.clusterId, { name, digest, part: 0 })
  const sealer = createObjectSealer({ keys: place.sealing, kind: 'wal-part', key })
  const pieces = [
    sealer.header,
    ...payloads.flatMap((payload, index) => sealer.sealFrame(payload, index === payloads.length - 1)),
  ]
  const sealed = joined(pieces)
  const parts = new Set(payloads.flat())
  for (const piece of pieces) if (!parts.has(piece)) releaseMemory(piece)
  return { digest, key, sealed }
}

/** Alone in its memory, so that it can be moved to another thread. */
function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let offset = 0
  for (const piece of pieces) {
    bytes.set(piece, offset)
    offset += piece.length
  }
  return bytes
}
