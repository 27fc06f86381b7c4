import { BinaryReader } from '../codec/binary-reader.ts'
import { BinaryWriter } from '../codec/binary-writer.ts'
import type { SealingMethod } from '../codec/sealed-object.ts'
import { OperationError } from '../domain/operation-error.ts'
import { digestOf, equalBytes } from '../codec/digest.ts'

/** The first bytes of every object of a repository. */
export const repositoryMagic = new TextEncoder().encode('HOLDFAST')

/** The newest format that this version reads, and the one that it writes. */
const formatVersion = 1

/** What a store says about itself before any key is known. See docs/formats/repository.md. */
export interface RepositoryHeader {
  /** 16 random bytes. */
  readonly repositoryId: Uint8Array
  readonly method: SealingMethod
  readonly createdAtMs: number
}

const methods: readonly SealingMethod[] = ['none', 'aes-256-gcm']
const headerKind = 0
const checkLength = 16

/** 52 bytes: magic, version, kind, method, reserved, repository id, creation time, check. */
export function encodeRepositoryHeader(header: RepositoryHeader): Uint8Array {
  const writer = new BinaryWriter()
  writer.bytes(repositoryMagic)
  writer.u8(formatVersion)
  writer.u8(headerKind)
  writer.u8(methods.indexOf(header.method))
  writer.u8(0)
  writer.bytes(header.repositoryId)
  writer.u64(BigInt(header.createdAtMs))
  writer.bytes(digestOf(writer.finish()).subarray(0, checkLength))
  return writer.finish()
}

/**
 * Throws `repository-foreign` when the bytes are not a repository header at all, `format-newer` when they are one of a
 * later format, and `damaged` when they were one once.
 */
export function decodeRepositoryHeader(bytes: Uint8Array, location: string): RepositoryHeader {
  const description = `the header of the repository "${location}"`
  const reading = `reading ${description}`
  const reader = new BinaryReader(bytes, description)
  if (
    bytes.length < repositoryMagic.length + 1 ||
    !equalBytes(reader.bytes(repositoryMagic.length), repositoryMagic)
  ) {
    throw new OperationError('repository-foreign', `${reading}: it is not a holdfast repository`, {
      hint: 'Name an empty place, or the place where "holdfast init" created the repository.',
    })
  }
  refuseNewerFormat(reader.u8(), reading)
  const kind = reader.u8()
  const method = methods[reader.u8()]
  reader.u8()
  const repositoryId = reader.bytes(16).slice()
  const createdAtMs = Number(reader.u64())
  const check = reader.bytes(checkLength)
  const isIntact =
    equalBytes(check, digestOf(bytes.subarray(0, bytes.length - checkLength)).subarray(0, checkLength)) &&
    reader.remaining === 0
  if (kind !== headerKind || method === undefined || !isIntact) {
    throw new OperationError('damaged', `${reading}: its check does not match`, {
      hint: 'Bring the object "holdfast" of this repository back from a copy; nothing else was changed.',
    })
  }
  return { repositoryId, method, createdAtMs }
}

/** Throws `format-newer` for anything but a format that this version knows. */
export function refuseNewerFormat(version: number, reading: string, newest = formatVersion): void {
  if (version <= newest && version > 0) return
  throw new OperationError(
    'format-newer',
    `${reading}: expected format ${newest} or older, found format ${version}`,
    { hint: 'Use the version of holdfast that wrote this repository, or a later one.' },
  )
}
