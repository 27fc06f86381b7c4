import assert from 'node:assert/strict'
import { keyedDigest } from '../codec/keyed-digest.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readCatalogue } from './catalogue.ts'
import { cutIntoParts } from './cut-into-parts.ts'
import { mostNamedDatabases, type DumpEntry } from './dump-entry.ts'
import {
  encodeDumpHead,
  findFault,
  mostDumpParts,
  type DumpHead,
  type DumpMember,
  type DumpPart,
  type MemberDescription,
} from './dump-head.ts'
import { DumpSealer, type PartPlace } from './dump-sealer.ts'
import type { SealedPart } from './dump-part.ts'
import { readDumpHead, type DumpPlace } from './dump-reader.ts'
import type { Lease } from './lease.ts'
import { dumpHeadKey, dumpPartKey, dumpPrefix } from './object-keys.ts'
import { largestPayloadOf, sealObject } from './sealed-store.ts'
import { tidyAway } from './tidy-away.ts'

export interface NewDump {
  readonly label: BackupLabel
  /** Of the scope of dumps: see `acquireDumpLease`. */
  readonly lease: Lease
  /** zstd level, for members that are not compressed. Default: 3. */
  readonly compressionLevel?: number
}

/**
 * So many parts are sealed and stored at once, over all members: 8 MiB of memory each, and as much again while they are sealed,
 * and for each member that is written.
 */
const mostUnderWay = 3
/** One, and another one that waits for the thread. */
const mostBeingSealed = 2
const defaultLevel = 3

type Written = Pick<DumpMember, 'rawBytes' | 'digest' | 'parts'>

/** Begins a dump: nothing is stored yet. */
export function openDumpWriter(place: DumpPlace, dump: NewDump, context: RunContext): DumpWriter {
  return new DumpWriter(place, dump, context)
}

/**
 * Writes a dump as a stream: the bytes of members go into parts, which are stored as they fill. The head is stored last;
 * without it there is no dump, and parts without a head are garbage. After a failure the writer can only discard: one of `finish`
 * and `discard` must end it.
 */
export class DumpWriter {
  readonly #place: DumpPlace
  readonly #dump: NewDump
  readonly #context: RunContext
  readonly #ended = new AbortController()
  readonly #members: DumpMember[] = []
  readonly #names = new Set<string>()
  /** Of those that are under way. */
  readonly #beingSealed = new Set<Promise<unknown>>()
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #sealing: DumpSealer
  #partCount = 0
  #writing = 0

  /** Use `openDumpWriter`. */
  constructor(place: DumpPlace, dump: NewDump, context: RunContext) {
    this.#place = place
    this.#dump = dump
    const { sealing: keys, namesKey } = place.repository.keys
    this.#sealing = new DumpSealer({ keys, namesKey })
    const signals = [context.signal, dump.lease.lost, this.#ended.signal]
    this.#context = { ...context, signal: AbortSignal.any(signals) }
  }

  /**
   * Stores all bytes of one member, as they are when they are compressed; resolves when they are stored. Several may be
   * written at once. A chunk is not used any more when the next one is asked for. Throws what `chunks` throws, and what
   * storing does.
   */
  async writeMember(
    description: MemberDescription,
    chunks: AsyncIterable<Uint8Array>,
    { isCompressed = false }: { readonly isCompressed?: boolean } = {},
  ): Promise<DumpMember> {
    this.#context.signal.throwIfAborted()
    const { name, kind, database, format } = description
    assert.ok(!this.#names.has(name), `a second member "${name}"`)
    const unwritten = { name, kind, database, format, rawBytes: 0, digest: '0'.repeat(32), parts: [] }
    assert.equal(findFault({ members: [unwritten], facts: {} }), undefined)
    this.#names.add(name)
    this.#writing += 1
    try {
      const member = { name, kind, database, format, ...(await this.#writeBytes(chunks, isCompressed)) }
      this.#members.push(member)
      return member
    } catch (error) {
      this.#ended.abort(error) // nothing of it is worth storing any more
      throw error
    } finally {
      this.#writing -= 1
    }
  }

  /** Stores the head and reads it back. Gives what the catalogue is to say about the dump. */
  async finish(known: Omit<DumpHead, 'label' | 'members'>): Promise<DumpEntry> {
    assert.equal(this.#writing, 0)
    await this.#sealing[Symbol.asyncDispose]()
    this.#context.signal.throwIfAborted()
    const { repository, cluster } = this.#place
    const { label } = this.#dump
    const head = { label, ...known, members: this.#members }
    assert.equal(findFault(head), undefined)
    const key = dumpHeadKey(cluster.id, label)
    const payload = encodeDumpHead(head)
    if (payload.length > largestPayloadOf('dump-head')) throw tooLarge(label)
    const sealed = sealObject(repository, { kind: 'dump-head', key }, payload)
    await this.#put(key, sealed)
    const headDigest = keyedDigest(repository.keys.namesKey, sealed)
    const entry = { ...describe(head, sealed.length), headDigest }
    await readDumpHead(this.#place, entry, this.#context)
    return entry
  }

  /**
   * Removes what was stored, if it is certainly not listed and the lease still holds. Never throws: the failure that led here
   * is what the operator must see, and what stays is garbage, not harm.
   */
  async discard(): Promise<void> {
    this.#ended.abort(new OperationError('cancelled', `dump ${this.#dump.label} was given up`))
    await Promise.allSettled(this.#underWay)
    await this.#sealing[Symbol.asyncDispose]()
    const { repository, cluster } = this.#place
    const { label, lease } = this.#dump
    const cleaning = { ...this.#context, signal: AbortSignal.timeout(30_000) } // also after the work was cancelled
    try {
      const { dumps } = await readCatalogue(repository, cluster.id, cleaning)
      if (dumps.some((dump) => dump.label === label)) return
      const keys: string[] = []
      for await (const { key } of repository.store.list(dumpPrefix(cluster.id, label), cleaning))
        keys.push(key)
      await lease.confirm()
      const kept = await tidyAway(repository, keys, cleaning)
      if (kept.length > 0) this.#context.report({ kind: 'note', message: leftText(label) })
    } catch {
      const message = `could not remove what the failed dump ${label} has stored`
      this.#context.report({ kind: 'warning', message, hint: 'The next sweep removes it.' })
    }
  }

  async #writeBytes(chunks: AsyncIterable<Uint8Array>, isCompressed: boolean): Promise<Written> {
    const { compressionLevel = defaultLevel } = this.#dump
    const level = isCompressed ? 0 : compressionLevel
    const { signal } = this.#context
    const sealer = this.#sealing.openMember(signal)
    const stored: Promise<DumpPart>[] = []
    let rawBytes = 0
    const takeBuffer = (): Uint8Array => this.#sealing.takeBuffer()
    for await (const { raw, isShort } of cutIntoParts(chunks, { takeBuffer, signal })) {
      if (isShort) return this.#writeShort(raw, level)
      rawBytes += raw.length
      await this.#begin(() => {
        const place = this.#nextPlace(level)
        stored.push(this.#store(place, sealer.seal(place, raw)))
      })
    }
    if (rawBytes === 0)
      return { rawBytes, digest: keyedDigest(this.#place.repository.keys.namesKey), parts: [] }
    const [digest, ...parts] = await Promise.all([sealer.digest(), ...stored])
    return { rawBytes, digest, parts }
  }

  async #writeShort(raw: Uint8Array, level: number): Promise<Written> {
    const { digest, stored } = await this.#begin(() => {
      const place = this.#nextPlace(level)
      const made = this.#sealing.sealShort(place, raw)
      return { digest: made.digest, stored: this.#store(place, Promise.resolve(made.sealed)) }
    })
    return { rawBytes: raw.length, digest, parts: [await stored] }
  }

  /** Begins a part when there is room: between the last look and its beginning nobody else may begin one. */
  async #begin<Begun>(begin: () => Begun): Promise<Begun> {
    while (this.#beingSealed.size >= mostBeingSealed || this.#underWay.size >= mostUnderWay)
      await Promise.race([...this.#beingSealed, ...this.#underWay])
    return begin()
  }

  #nextPlace(level: number): PartPlace {
    this.#partCount += 1
    const number = this.#partCount
    const { label } = this.#dump
    if (number > mostDumpParts) throw tooLarge(label)
    return { number, key: dumpPartKey(this.#place.cluster.id, { label, number }), level }
  }

  #store({ key }: PartPlace, sealing: Promise<SealedPart>): Promise<DumpPart> {
    const storing = (async () => {
      const sealed = await sealing
      await this.#put(key, sealed.bytes)
      this.#sealing.release(sealed)
      return sealed.part
    })()
    this.#keepWhile(sealing, this.#beingSealed)
    this.#keepWhile(storing, this.#underWay)
    return storing
  }

  /** Whoever writes the member hears of it when it fails. */
  #keepWhile(work: Promise<unknown>, set: Set<Promise<unknown>>): void {
    set.add(work)
    work.catch((error: unknown) => this.#ended.abort(error)).finally(() => set.delete(work))
  }

  async #put(key: string, bytes: Uint8Array): Promise<void> {
    const answer = await this.#place.repository.store.putIfAbsent(key, bytes, this.#context)
    if (answer === 'created') return
    throw new OperationError('busy', `writing dump ${this.#dump.label}: "${key}" exists already`, {
      hint: 'Another dump took the same label; run the command again.',
    })
  }
}

function describe(
  { members, label, startedAt, stoppedAt }: DumpHead,
  headBytes: number,
): Omit<DumpEntry, 'headDigest'> {
  const databases = [...new Set(members.flatMap(({ database = [] }) => database))]
  const parts = members.flatMap((member) => member.parts)
  return {
    label,
    startedAt,
    stoppedAt,
    databases: databases.slice(0, mostNamedDatabases),
    databaseCount: databases.length,
    formats: [...new Set(members.map(({ format }) => format))],
    rawBytes: members.reduce((sum, member) => sum + member.rawBytes, 0),
    storedBytes: parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, headBytes),
  }
}

const tooLarge = (label: BackupLabel): OperationError =>
  new OperationError('server-unsuitable', `writing dump ${label}: it has more parts than a dump may have`, {
    hint: 'Dump fewer databases at once, or take a physical backup.',
  })

const leftText = (label: BackupLabel): string =>
  `what the failed dump ${label} has stored stays: the store does not let it be deleted; a sweep on a host that may delete removes it`
