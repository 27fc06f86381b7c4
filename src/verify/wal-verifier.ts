import assert from 'node:assert/strict'
import { checkArchivedFile } from '../archive/check-archived-file.ts'
import { ContentDigest } from '../archive/content-digest.ts'
import { decodeWalObjectHead, frameBytes, type WalObjectHead } from '../archive/wal-object-head.ts'
import { parseWalObjectKey, type WalObject } from '../archive/wal-object-key.ts'
import { unpackPayload } from '../codec/compression.ts'
import { digestOf, equalBytes } from '../codec/digest.ts'
import { openSealedObject } from '../codec/sealed-object.ts'
import { OperationError } from '../domain/operation-error.ts'
import { parseSegmentName } from '../domain/wal-segment.ts'
import type { WalEnd, WalEndReason } from '../wal/wal-end.ts'
import { releaseMemory } from '../platform/release-memory.ts'
import { WalRecordReader, type WalSegmentBytes } from '../wal/record-reader.ts'
import type { VerifyRequest, VerifySetup } from './verify-protocol.ts'

const mostHeadBytes = 64 * 1024

/** What the end of a whole segment looks like: its last record ends with it, or goes on in the next one. */
const wholeEnds: ReadonlySet<WalEndReason> = new Set(['segments-exhausted', 'record-unfinished'])

interface OpenFile {
  readonly key: string
  readonly object: WalObject
  readonly head: WalObjectHead
  readonly digest: ContentDigest
  length: number
}

interface OpenObject {
  readonly payloads: Iterable<Uint8Array>
  readonly sealed: Uint8Array
  readonly key: string
}

type CloseRequest = Extract<VerifyRequest, { kind: 'wal-close' }>

/**
 * Proves files of the WAL archive, one after the other: `open`, `addPart` for each further part, `close`. Segments that
 * follow each other are read as one row, so that records and links across their borders are checked too.
 */
export class WalVerifier {
  readonly #setup: VerifySetup
  #file: OpenFile | undefined
  /** Holds one file; kept, because the next one is as large. */
  #content = new Uint8Array(0)
  #reader: WalRecordReader | undefined

  constructor(setup: VerifySetup) {
    this.#setup = setup
  }

  /** Gives the number of further parts. Throws `damaged`, as all of these do. */
  open(key: string, sealed: Uint8Array): number {
    this.#file = undefined
    const { cluster, keys, namesKey } = this.#setup
    const object = parseWalObjectKey(cluster.id, key)
    assert.ok(object !== undefined)
    const payloads = openSealedObject(sealed, { keys, kind: 'wal-part', key })
    const first = payloads.next()
    if (first.done === true) throw damaged(key, 'it has no head')
    const head = decodeWalObjectHead(unpackPayload(first.value, mostHeadBytes, `"${key}"`), key)
    const most = Math.max(cluster.walSegmentSize, frameBytes)
    if (head.contentBytes > most)
      throw damaged(key, `expected at most ${most} bytes of content, found ${head.contentBytes}`)
    if (this.#content.length < head.contentBytes) this.#content = new Uint8Array(head.contentBytes)
    this.#file = { key, object, head, digest: new ContentDigest(namesKey, object.name.name), length: 0 }
    this.#add(this.#file, { payloads, sealed, key })
    return head.parts.length
  }

  addPart(part: number, key: string, sealed: Uint8Array): void {
    const file = this.#openFile()
    const expected = file.head.parts[part - 1]
    assert.ok(expected !== undefined)
    const isSame = sealed.length === expected.sealedBytes && equalBytes(digestOf(sealed), expected.digest)
    if (!isSame) throw damaged(key, 'it is not the part that was archived')
    const payloads = openSealedObject(sealed, { keys: this.#setup.keys, kind: 'wal-part', key })
    this.#add(file, { payloads, sealed, key })
  }

  /** Gives the length of the file, and where its records end too early. */
  close({ history, follows }: CloseRequest): { readonly rawBytes: number; readonly end: WalEnd | undefined } {
    const { key, object, head, digest, length } = this.#openFile()
    this.#file = undefined
    if (length !== head.contentBytes)
      throw damaged(key, `expected ${head.contentBytes} bytes of content, found ${length}`)
    if (digest.finish() !== object.digest) throw damaged(key, 'its content is not the one that its name says')
    const bytes = this.#content.subarray(0, length)
    const file = { bytes, sizeBytes: length }
    const verdict = checkArchivedFile(object.name, file, { cluster: this.#setup.cluster, history })
    if (verdict.kind === 'invalid') throw damaged(key, `what is archived under this name ${verdict.reason}`)
    if (object.name.kind !== 'segment') return { rawBytes: length, end: undefined }
    if (!follows) this.#reader = undefined
    const { startLsn } = parseSegmentName(object.name.name, this.#setup.cluster.walSegmentSize)
    return { rawBytes: length, end: this.#readRecords({ startLsn, bytes }) }
  }

  /** After a failure nothing that was read is a beginning for what comes. */
  reset(): void {
    this.#file = undefined
    this.#reader = undefined
  }

  #readRecords(segment: WalSegmentBytes): WalEnd | undefined {
    const reader = (this.#reader ??= new WalRecordReader())
    reader.push(segment)
    while (reader.next() !== undefined);
    const end = reader.end()
    if (wholeEnds.has(end.reason)) return undefined
    this.#reader = undefined
    return end
  }

  #add(file: OpenFile, { payloads, sealed, key }: OpenObject): void {
    for (const payload of payloads) {
      const raw = unpackPayload(payload, frameBytes, `"${key}"`)
      if (file.length + raw.length > file.head.contentBytes)
        throw damaged(file.key, `expected ${file.head.contentBytes} bytes of content, found more`)
      file.digest.update(raw)
      this.#content.set(raw, file.length)
      file.length += raw.length
      // Without sealing, the payload lies in the object itself; content that was stored as it is lies in its payload.
      for (const bytes of [raw, payload]) if (bytes.buffer !== sealed.buffer) releaseMemory(bytes)
    }
  }

  #openFile(): OpenFile {
    assert.ok(this.#file !== undefined)
    return this.#file
  }
}

function damaged(key: string, found: string): OperationError {
  return new OperationError('damaged', `reading "${key}": ${found}`)
}
