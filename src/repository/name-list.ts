import { BinaryReader } from '../codec/binary-reader.ts'
import { BinaryWriter } from '../codec/binary-writer.ts'
import { packPayload, unpackPayload } from '../codec/compression.ts'
import { createObjectSealer, openSealedObject, type ObjectSealer } from '../codec/sealed-object.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { nameListKey, type NameListMoment } from './name-list-key.ts'
import type { Repository } from './open-repository.ts'

/** A database that was there. */
export interface NamedDatabase {
  readonly oid: number
  readonly name: string
  /** Why its relations are not in the list; empty when they are. */
  readonly problem: string
}

/** A schema that was there. */
export interface NamedSchema {
  readonly database: number
  readonly oid: number
  readonly name: string
}

/** A partition, and one of the tables that it is part of. */
export interface NamedPartition {
  readonly database: number
  /** Of the partition. */
  readonly oid: number
  /** Of the partitioned table, which has no files of its own. */
  readonly schema: string
  readonly name: string
}

/** A relation with files of its own, and what it was called. */
export interface NamedRelation {
  /** RelFileLocator in storage/relfilelocator.h: where its files are. Of a shared relation, the database is 0. */
  readonly tablespace: number
  readonly database: number
  readonly relation: number
  readonly oid: number
  /** pg_class.relkind: one letter. */
  readonly kind: string
  readonly schema: string
  readonly name: string
  /** About how many rows it had (pg_class.reltuples); undefined when it was never counted. */
  readonly rows: number | undefined
}

/** 2 added schemas, 3 partitions. */
const version = 3
const oldestVersion = 1
const compressionLevel = 3
/** Names are gathered into frames of about this size before compression. */
const frameBytes = 256 * 1024
/** The most that a frame of ours has before compression: one more name than fits. */
const mostFrameBytes = 1024 * 1024
const mostNameBytes = 1024

/** Builds a list of names, docs/formats/name-list.md. Holds the compressed list in memory. */
export class NameListWriter {
  readonly #key: string
  readonly #repository: Repository
  readonly #sealer: ObjectSealer
  readonly #parts: Uint8Array[] = []
  #frame = new BinaryWriter(frameBytes)

  constructor(repository: Repository, clusterId: string, moment: NameListMoment) {
    this.#repository = repository
    this.#key = nameListKey(clusterId, moment)
    this.#sealer = createObjectSealer({ keys: repository.keys.sealing, kind: 'name-list', key: this.#key })
    this.#parts.push(this.#sealer.header)
    this.#frame.u8(version)
  }

  add(relation: NamedRelation): void {
    const { tablespace, database, oid, kind, schema, name, rows } = relation
    const frame = this.#frame.u8(tags.relation).varint(tablespace).varint(database).varint(relation.relation)
    frame.varint(oid).text(kind).text(schema).text(name)
    frame.varint(rows === undefined ? 0 : rows + 1)
    this.#sealIfFull()
  }

  addDatabase({ oid, name, problem }: NamedDatabase): void {
    this.#frame
      .u8(tags.database)
      .varint(oid)
      .text(name)
      .text(problem.slice(0, mostNameBytes / 4))
    this.#sealIfFull()
  }

  addSchema({ database, oid, name }: NamedSchema): void {
    this.#frame.u8(tags.schema).varint(database).varint(oid).text(name)
    this.#sealIfFull()
  }

  addPartition({ database, oid, schema, name }: NamedPartition): void {
    this.#frame.u8(tags.partition).varint(database).varint(oid).text(schema).text(name)
    this.#sealIfFull()
  }

  /** Stores the list. Gives its size. */
  async finish(context: RunContext): Promise<number> {
    this.#seal(true)
    const bytes = Buffer.concat(this.#parts)
    await this.#repository.store.putIfAbsent(this.#key, bytes, context)
    return bytes.length
  }

  #sealIfFull(): void {
    if (this.#frame.length >= frameBytes) this.#seal(false)
  }

  #seal(isLast: boolean): void {
    const payload = packPayload(this.#frame.finish(), compressionLevel)
    // A part may be the frame's own memory, which is used no more.
    this.#parts.push(...this.#sealer.sealFrame(payload, isLast))
    this.#frame = new BinaryWriter(frameBytes)
  }
}

/** What stands before an entry. */
const tags = { database: 1, relation: 2, schema: 3, partition: 4 } as const

export type NameListEntry =
  | { readonly kind: 'database'; readonly database: NamedDatabase }
  | { readonly kind: 'schema'; readonly schema: NamedSchema }
  | { readonly kind: 'partition'; readonly partition: NamedPartition }
  | { readonly kind: 'relation'; readonly relation: NamedRelation }

/** A stored list, entry by entry; undefined when there is none. Throws `damaged` and `format-newer`. */
export async function readNameList(
  repository: Repository,
  { clusterId, moment }: { readonly clusterId: string; readonly moment: NameListMoment },
  context: RunContext,
): Promise<Iterable<NameListEntry> | undefined> {
  const key = nameListKey(clusterId, moment)
  const sealed = await repository.store.get(key, undefined, context)
  return sealed && openNameList(sealed, repository, key)
}

/** The entries of a list, whose seal is checked on the way. Throws `damaged` and `format-newer`. */
export function* openNameList(
  sealed: Uint8Array,
  { keys }: Repository,
  key: string,
): Generator<NameListEntry, void> {
  const description = `the list of names "${key}"`
  let isFirst = true
  for (const payload of openSealedObject(sealed, { keys: keys.sealing, kind: 'name-list', key })) {
    const reader = new BinaryReader(unpackPayload(payload, mostFrameBytes, description), description)
    if (isFirst) refuseOtherVersion(reader, description)
    isFirst = false
    while (reader.remaining > 0) yield readEntry(reader)
  }
}

function refuseOtherVersion(reader: BinaryReader, description: string): void {
  const found = reader.u8()
  if (found >= oldestVersion && found <= version) return
  if (found < oldestVersion) throw reader.damage(`found version ${found}`)
  throw new OperationError(
    'format-newer',
    `reading ${description}: expected version ${version}, found version ${found}`,
    { hint: 'Use the version of holdfast that wrote it, or a later one.' },
  )
}

function readEntry(reader: BinaryReader): NameListEntry {
  const tag = reader.u8()
  if (tag === tags.database) {
    const database = { oid: readOid(reader), name: readText(reader), problem: readText(reader) }
    return { kind: 'database', database }
  }
  if (tag === tags.schema) {
    const schema = { database: readOid(reader), oid: readOid(reader), name: readText(reader) }
    return { kind: 'schema', schema }
  }
  if (tag === tags.partition) {
    const [database, oid] = [readOid(reader), readOid(reader)]
    const partition = { database, oid, schema: readText(reader), name: readText(reader) }
    return { kind: 'partition', partition }
  }
  if (tag !== tags.relation) throw reader.damage(`found an entry of kind ${tag}`)
  const [tablespace, database, relation, oid] = [
    readOid(reader),
    readOid(reader),
    readOid(reader),
    readOid(reader),
  ]
  const [kind, schema, name] = [readText(reader), readText(reader), readText(reader)]
  const rows = reader.varint()
  return {
    kind: 'relation',
    relation: {
      tablespace,
      database,
      relation,
      oid,
      kind,
      schema,
      name,
      rows: rows === 0 ? undefined : rows - 1,
    },
  }
}

const readText = (reader: BinaryReader): string => reader.text(mostNameBytes)

function readOid(reader: BinaryReader): number {
  const oid = reader.varint()
  if (oid > 0xffff_ffff) throw reader.damage(`found the number ${oid}`)
  return oid
}
