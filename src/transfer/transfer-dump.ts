import { equalBytes } from '../codec/digest.ts'
import { KeyedDigest, keyedDigest } from '../codec/keyed-digest.ts'
import { openSealedObject, type ObjectIdentity } from '../codec/sealed-object.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { inOrder } from '../platform/in-order.ts'
import { releaseMemory } from '../platform/release-memory.ts'
import type { DumpEntry, ListedDump } from '../repository/dump-entry.ts'
import { encodeDumpHead, type DumpHead, type DumpMember, type DumpPart } from '../repository/dump-head.ts'
import { dumpPartTag, openDumpPart, resealDumpPart, type SealedPart } from '../repository/dump-part.ts'
import { readDumpHead } from '../repository/dump-reader.ts'
import { dumpHeadKey, dumpPartKey, dumpPrefix } from '../repository/object-keys.ts'
import { openObject, sealObject } from '../repository/sealed-store.ts'
import { isAboutObject } from '../archive/object-trouble.ts'
import type { TransferPlaces } from './transfer-places.ts'

/** So many parts are fetched at once, and so many are stored at once: up to 17 MiB each. */
const mostFetched = 2
const mostStored = 2

export interface DumpTools extends TransferPlaces {
  /** Called right before anything is deleted: throws when that may not be done any more. */
  readonly confirm: () => Promise<void>
}

export interface WantedDump {
  readonly dump: ListedDump
  /** Its head in the other repository, whose parts are taken from there if they are whole. Left out: it has none to be trusted. */
  readonly own?: DumpHead | undefined
}

export interface TransferredDump {
  /** As the other repository is to list it. */
  readonly entry: DumpEntry
  /** Of what was not there before. */
  readonly storedBytes: number
}

/**
 * Copies the parts and the head of a listed dump, each byte of it opened by its seal, and each member proven by its digest. It is
 * not listed there yet, and whoever calls this holds the lease of dumps there. What is there and the same is used; what is there
 * and damaged is replaced. Throws `damaged` when it cannot be read whole here, and `repositories-differ` when another dump is
 * there under its label; what was copied by then is garbage, or is used by the next attempt.
 */
export async function transferDump(
  { dump, own }: WantedDump,
  tools: DumpTools,
  context: RunContext,
): Promise<TransferredDump> {
  const { from, to } = tools
  const head = await readDumpHead(from, dump, context)
  const present = new Set<string>()
  for await (const { key } of to.repository.store.list(dumpPrefix(to.cluster.id, dump.label), context))
    present.add(key)
  const ownParts = new Map(own?.members.flatMap(({ parts }) => parts.map((part) => [part.number, part])))
  const copying = new DumpCopying({ dump, ownParts, present, tools }, context)
  const members: DumpMember[] = []
  for (const member of head.members) members.push(await copying.copyMember(member))
  const stored = await copying.storeHead({ ...head, members })
  const { isPinned: _isPinned, ...known } = dump
  const entry = { ...known, ...stored }
  await readDumpHead(to, entry, context)
  return { entry, storedBytes: copying.storedBytes }
}

interface Copying {
  readonly dump: ListedDump
  readonly ownParts: ReadonlyMap<number, DumpPart>
  /** Keys of what is there of it, as far as a listing tells. */
  readonly present: ReadonlySet<string>
  readonly tools: DumpTools
}

/** A part that was read. */
interface FetchedPart {
  readonly key: string
  readonly part: DumpPart
  readonly sealed: Uint8Array
  /** In the other repository, where it is to be. */
  readonly isOwn: boolean
}

/** A part for the other repository. */
interface ReadyPart extends SealedPart {
  readonly isThere: boolean
}

/** An object for the other repository. */
interface MadeObject {
  readonly key: string
  readonly bytes: Uint8Array
  /** Of one that is there already. Throws `damaged` when nothing can be read from it. */
  readonly isSame: (there: Uint8Array) => boolean
}

/** The copying of one dump, and how far it is. */
class DumpCopying {
  readonly #copying: Copying
  readonly #context: RunContext
  readonly #total: number
  #done = 0
  #storedBytes = 0

  constructor(copying: Copying, context: RunContext) {
    this.#copying = copying
    this.#context = context
    this.#total = copying.dump.storedBytes
  }

  get storedBytes(): number {
    return this.#storedBytes
  }

  /** The member as the other repository is to know it. */
  async copyMember(member: DumpMember): Promise<DumpMember> {
    const { dump, tools } = this.#copying
    const digests = [tools.from, tools.to].map(({ repository }) => new KeyedDigest(repository.keys.namesKey))
    const parts: DumpPart[] = []
    const sealed = this.#reseal(member, (raw) => {
      for (const digest of digests) digest.update(raw)
    })
    const store = async ({ isThere, ...ready }: ReadyPart, context: RunContext): Promise<DumpPart> => {
      const part = isThere ? ready.part : await this.#storePart(ready, context)
      releaseMemory(ready.bytes)
      this.#tell(part.sizeBytes)
      return part
    }
    for await (const part of inOrder(sealed, { limit: mostStored, context: this.#context }, store))
      parts.push(part)
    const [here, there] = digests.map((digest) => digest.finish())
    if (here === member.digest && there !== undefined) return { ...member, digest: there, parts }
    throw damaged(dump, `the bytes of its member ${quote(member.name)} are not those that were dumped`)
  }

  /** After all members. Gives what the catalogue says of it. */
  async storeHead(head: DumpHead): Promise<Pick<DumpEntry, 'headDigest' | 'storedBytes'>> {
    const { dump, tools } = this.#copying
    const { repository, cluster } = tools.to
    const name = { kind: 'dump-head', key: dumpHeadKey(cluster.id, dump.label) } as const
    const payload = encodeDumpHead(head)
    const made = {
      key: name.key,
      bytes: sealObject(repository, name, payload),
      isSame: (there: Uint8Array) => equalBytes(openObject(repository, name, there), payload),
    }
    const found = await this.#put(made, this.#context)
    // Its parts are proven: a whole head that says something else is of parts that were replaced since.
    if (found?.isSame === false) await this.#replace(made, this.#context)
    const bytes = found?.isSame === true ? found.bytes : made.bytes
    const parts = head.members.flatMap((member) => member.parts)
    return {
      headDigest: keyedDigest(repository.keys.namesKey, bytes),
      storedBytes: parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, bytes.length),
    }
  }

  /** The parts of a member in their order, opened and sealed for the other repository. */
  async *#reseal(member: DumpMember, onRaw: (raw: Uint8Array) => void): AsyncGenerator<ReadyPart, void> {
    const { dump, tools } = this.#copying
    const { from, to } = tools
    const fetch = async (part: DumpPart, context: RunContext) =>
      (await this.#fetchOwn(part, context)) ?? (await this.#fetch(part, context))
    const parts = inOrder(member.parts, { limit: mostFetched, context: this.#context }, fetch)
    for await (const { key, part, sealed, isOwn } of parts) {
      const toKey = dumpPartKey(to.cluster.id, { label: dump.label, number: part.number })
      const target = { keys: to.repository.keys.sealing, key: toKey }
      if (isOwn) {
        for (const raw of openDumpPart(sealed, part, target)) onRaw(raw)
        yield { bytes: sealed, part, isThere: true }
      } else {
        const source = { keys: from.repository.keys.sealing, key }
        const made = resealDumpPart(sealed, part, { from: source, to: target, onRaw })
        releaseMemory(sealed)
        yield { ...made, isThere: false }
      }
      this.#context.signal.throwIfAborted()
    }
  }

  async #fetch(part: DumpPart, context: RunContext): Promise<FetchedPart> {
    const { dump, tools } = this.#copying
    const { repository, cluster } = tools.from
    const key = dumpPartKey(cluster.id, { label: dump.label, number: part.number })
    const sealed = await repository.store.get(key, undefined, context)
    if (sealed !== undefined) return { key, part, sealed, isOwn: false }
    throw damaged(dump, `"${key}" is missing`)
  }

  /** The part as the other repository has it; undefined when nobody says that it has it, or it is not whole. */
  async #fetchOwn({ number, rawBytes }: DumpPart, context: RunContext): Promise<FetchedPart | undefined> {
    const { dump, ownParts, tools } = this.#copying
    const { repository, cluster } = tools.to
    const part = ownParts.get(number)
    if (part?.rawBytes !== rawBytes) return undefined
    const key = dumpPartKey(cluster.id, { label: dump.label, number })
    try {
      const sealed = await repository.store.get(key, undefined, context)
      if (sealed === undefined) return undefined
      for (const _ of openDumpPart(sealed, part, { keys: repository.keys.sealing, key }))
        context.signal.throwIfAborted()
      return { key, part, sealed, isOwn: true }
    } catch (error) {
      if (isAboutObject(error)) return undefined
      throw error
    }
  }

  #tell(sizeBytes: number): void {
    this.#done += sizeBytes
    const phase = `dump ${this.#copying.dump.label}`
    this.#context.report({ kind: 'progress', phase, done: this.#done, total: this.#total, unit: 'bytes' })
  }

  async #storePart({ bytes, part }: SealedPart, context: RunContext): Promise<DumpPart> {
    const { dump, tools } = this.#copying
    const { from, to } = tools
    const key = dumpPartKey(to.cluster.id, { label: dump.label, number: part.number })
    const identity = { keys: to.repository.keys.sealing, kind: 'dump-part', key } as const
    const isSame = (there: Uint8Array): boolean => holdSame(bytes, there, identity)
    const found = await this.#put({ key, bytes, isSame }, context)
    if (found?.isSame === false) {
      throw new OperationError(
        'repositories-differ',
        `copying dump ${dump.label} from "${from.repository.store.location}": "${to.repository.store.location}" has another dump of that label, of which "${key}" is`,
        {
          hint: 'Two dumps have the same label there and here: delete the one there, sweep that repository, then copy again.',
        },
      )
    }
    return found === undefined ? part : { ...part, tag: dumpPartTag(found.bytes) }
  }

  /** Gives what is there already; undefined: it was stored, in the place of a damaged one if there was one. */
  async #put(
    made: MadeObject,
    context: RunContext,
  ): Promise<{ readonly bytes: Uint8Array; readonly isSame: boolean } | undefined> {
    const { present, tools } = this.#copying
    const { store } = tools.to.repository
    const { key, bytes } = made
    if (!present.has(key) && (await store.putIfAbsent(key, bytes, context)) === 'created') {
      this.#storedBytes += bytes.length
      return undefined
    }
    const there = await readThere(made, tools, context)
    if (there === undefined) await this.#replace(made, context)
    return there
  }

  /** Nothing that is listed can be read with what is there. */
  async #replace({ key, bytes }: MadeObject, context: RunContext): Promise<void> {
    const { tools } = this.#copying
    const { store } = tools.to.repository
    await tools.confirm()
    // Dying between the two leaves an object missing that was damaged, or that nothing means.
    await store.delete([key], context)
    if ((await store.putIfAbsent(key, bytes, context)) === 'exists') {
      throw new OperationError('busy', `replacing "${key}": somebody else stored it meanwhile`)
    }
    this.#storedBytes += bytes.length
  }
}

function damaged({ label }: ListedDump, what: string): OperationError {
  return new OperationError('damaged', `reading dump ${label}: ${what}`, {
    hint: 'Copy it from another repository, or take a new one.',
  })
}

/** Undefined: it cannot be read, or has vanished. */
async function readThere(
  { key, isSame }: MadeObject,
  { to }: TransferPlaces,
  context: RunContext,
): Promise<{ readonly bytes: Uint8Array; readonly isSame: boolean } | undefined> {
  try {
    const bytes = await to.repository.store.get(key, undefined, context)
    return bytes && { bytes, isSame: isSame(bytes) }
  } catch (error) {
    if (isAboutObject(error)) return undefined
    throw error
  }
}

/** Whether two sealed objects hold the same payloads. Throws `damaged`. */
function holdSame(one: Uint8Array, other: Uint8Array, identity: ObjectIdentity): boolean {
  const [some, others] = [openSealedObject(one, identity), openSealedObject(other, identity)]
  for (;;) {
    const [here, there] = [some.next(), others.next()]
    if (here.done === true || there.done === true) return here.done === there.done
    if (!equalBytes(here.value, there.value)) return false
    for (const { value } of [here, there])
      if (value.buffer !== one.buffer && value.buffer !== other.buffer) releaseMemory(value)
  }
}
