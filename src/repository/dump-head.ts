import type { BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import { formatInstant, parseTargetTime, type Instant } from '../domain/target-time.ts'
import { parseDumpLabel } from './dump-entry.ts'
import { encodeRecord, RecordReader } from './record.ts'
import { refuseNewerFormat } from './repository-header.ts'

/** An object that holds a run of a member's bytes. */
export interface DumpPart {
  /** 1, 2, ... within the dump. */
  readonly number: number
  readonly sizeBytes: number
  readonly rawBytes: number
  /** The last 16 bytes of the object, in hexadecimal: the tag of its last frame. Another part under the same key is noticed. */
  readonly tag: string
}

/** What is said about a member before its bytes are known. */
export interface MemberDescription {
  /** Unique in the dump. It is no path, and must not become one. */
  readonly name: string
  /** A word such as `globals` or `database`. */
  readonly kind: string
  /** Undefined: it is not of one database. */
  readonly database: string | undefined
  /** A word for what the bytes are, such as `plain` or `custom`. */
  readonly format: string
}

/** One stream of bytes that a program wrote. */
export interface DumpMember extends MemberDescription {
  readonly rawBytes: number
  /** Keyed digest of the raw bytes, in hexadecimal. */
  readonly digest: string
  /** In the order of the bytes. */
  readonly parts: readonly DumpPart[]
}

/** Everything about a dump but its bytes. */
export interface DumpHead {
  readonly label: BackupLabel
  readonly startedAt: Instant
  readonly stoppedAt: Instant
  readonly members: readonly DumpMember[]
  /** What else is known about it, by name: versions, the snapshot, positions, options. Nothing of the repository depends on it. */
  readonly facts: Readonly<Record<string, string>>
}

/** Of raw content in one frame, and in one part. */
export const dumpFrameBytes = 1024 * 1024
export const dumpPartBytes = 16 * dumpFrameBytes
/** Of which a writer takes half, as packs do: six of them are in memory while a dump is written. */
export const writtenPartBytes = dumpPartBytes / 2

/** A part that nothing could be compressed of: far below this. */
const largestPartBytes = dumpPartBytes + dumpFrameBytes
const mostMembers = 100_000
/** More than two terabytes of what programs write; more would not fit into a head. */
export const mostDumpParts = 300_000
/** Some for each member. */
const mostFacts = 5 * mostMembers
const mostNameBytes = 1000
const writtenWord = /^[a-z][a-z-]{0,31}$/
const writtenDigest = /^[0-9a-f]{32}$/

/** What a member takes in the repository. */
export const storedBytesOf = ({ parts }: DumpMember): number =>
  parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)

export function encodeDumpHead(head: DumpHead): Uint8Array {
  return encodeRecord({
    version: 1,
    label: head.label,
    startedAt: formatInstant(head.startedAt),
    stoppedAt: formatInstant(head.stoppedAt),
    members: head.members,
    facts: Object.entries(head.facts).map(([name, value]) => ({ name, value })),
  })
}

/** Throws `damaged` for whatever `checkDumpHead` refuses, and what is not a head at all. */
export function decodeDumpHead(payload: Uint8Array, key: string): DumpHead {
  const reader = RecordReader.decode(payload, `dump "${key}"`)
  refuseNewerFormat(reader.count('version'), `reading dump "${key}"`)
  const facts = reader.records('facts').map((fact) => [fact.string('name'), fact.string('value')] as const)
  const head = {
    label: reader.parsed('label', parseDumpLabel),
    startedAt: reader.parsed('startedAt', parseTargetTime),
    stoppedAt: reader.parsed('stoppedAt', parseTargetTime),
    members: reader.records('members').map(decodeMember),
    facts: Object.fromEntries(facts),
  }
  const fault = facts.length === Object.keys(head.facts).length ? findFault(head) : 'a fact stands twice'
  if (fault === undefined) return head
  throw new OperationError('damaged', `reading dump "${key}": ${fault}`)
}

function decodeMember(reader: RecordReader): DumpMember {
  return {
    name: reader.string('name'),
    kind: reader.string('kind'),
    database: reader.optionalString('database'),
    format: reader.string('format'),
    rawBytes: reader.count('rawBytes'),
    digest: reader.string('digest'),
    parts: reader.records('parts').map((part) => ({
      number: part.count('number'),
      sizeBytes: part.count('sizeBytes'),
      rawBytes: part.count('rawBytes'),
      tag: part.string('tag'),
    })),
  }
}

/** What cannot be so in a head; undefined: nothing. Whoever writes one asks too, so that it can be read. */
export function findFault({ members, facts }: Pick<DumpHead, 'members' | 'facts'>): string | undefined {
  if (members.length > mostMembers) return `it has ${members.length} members`
  if (new Set(members.map(({ name }) => name)).size < members.length) return 'two members have one name'
  if (Object.keys(facts).length > mostFacts) return `it has ${Object.keys(facts).length} facts`
  const parts = members.flatMap((member) => member.parts)
  if (parts.length > mostDumpParts) return `it has ${parts.length} parts`
  if (new Set(parts.map(({ number }) => number)).size < parts.length) return 'two members have one part'
  if (!parts.every(isPossiblePart)) return 'it names a part that cannot be'
  return members.every(isPossibleMember) ? undefined : 'it names a member that cannot be'
}

const isPossibleMember = ({ name, kind, format, rawBytes, digest, parts }: DumpMember): boolean =>
  isMemberName(name) &&
  writtenWord.test(kind) &&
  writtenWord.test(format) &&
  writtenDigest.test(digest) &&
  parts.reduce((sum, part) => sum + part.rawBytes, 0) === rawBytes

const isMemberName = (name: string): boolean => name !== '' && Buffer.byteLength(name) <= mostNameBytes

const isPossiblePart = ({ number, sizeBytes, rawBytes, tag }: DumpPart): boolean =>
  number > 0 &&
  number <= mostDumpParts &&
  rawBytes > 0 &&
  rawBytes <= dumpPartBytes &&
  sizeBytes <= largestPartBytes &&
  writtenDigest.test(tag)
