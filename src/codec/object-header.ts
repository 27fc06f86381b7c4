import assert from 'node:assert/strict'
import { OperationError } from '../domain/operation-error.ts'

/** What an object is. The seal binds it: a pack cannot stand in for a manifest. */
export type ObjectKind = keyof typeof kindNumbers

export type SealingMethod = keyof typeof methodNumbers

/** What sealing needs to know of a repository. Can be sent to a worker. */
export interface SealingKeys {
  /** 16 bytes. */
  readonly repositoryId: Uint8Array
  readonly method: SealingMethod
  /** The 32-byte key of each epoch, from 1 on; empty when the method is none. */
  readonly epochs: ReadonlyMap<number, Uint8Array>
  /** New objects are sealed with this one; 0 when the method is none. */
  readonly currentEpoch: number
}

/** Which object is meant: the header is checked against it. */
export interface ObjectIdentity {
  readonly keys: SealingKeys
  readonly kind: ObjectKind
  readonly key: string
}

/** The numbers of docs/formats/sealed-object.md. */
const kindNumbers = {
  cluster: 1,
  'catalogue-entry': 2,
  lease: 3,
  pack: 4,
  manifest: 5,
  'manifest-part': 6,
  'wal-part': 7,
  'history-file': 8,
  // 9 is a key slot, which is not sealed
  'verify-state': 10,
  'sweep-marks': 11,
  'wal-index': 12,
  'name-list': 13,
  'drill-report': 14,
  'dump-part': 15,
  'dump-head': 16,
} as const
const methodNumbers = { none: 0, 'aes-256-gcm': 1 } as const

export const headerLength = 32
const saltLength = 16
const magic = Buffer.from('HOLDFAST', 'ascii')
const formatVersion = 1
const offsets = { version: 8, kind: 9, method: 10, reserved: 11, epoch: 12, salt: 16 } as const

/** The header of a new object, sealed with the current epoch. */
export function encodeObjectHeader({ keys, kind }: ObjectIdentity, salt: Uint8Array): Buffer {
  assert.equal(salt.length, saltLength)
  const header = Buffer.alloc(headerLength)
  header.set(magic)
  header.writeUInt8(formatVersion, offsets.version)
  header.writeUInt8(kindNumbers[kind], offsets.kind)
  header.writeUInt8(methodNumbers[keys.method], offsets.method)
  header.writeUInt32LE(keys.method === 'none' ? 0 : keys.currentEpoch, offsets.epoch)
  header.set(salt, offsets.salt)
  return header
}

/**
 * Checks the header that `object` begins with and gives a copy of it. Throws `format-newer` for a later version,
 * `key-missing` for an epoch that the key ring does not have, and `damaged` for everything else that is not as expected:
 * without the magic too, because whoever opens an object has recognised the repository before. What the header says is
 * only proven when the first frame is opened.
 */
export function decodeObjectHeader(object: Uint8Array, identity: ObjectIdentity): Buffer {
  const { key, keys, kind } = identity
  const header = Buffer.from(object.subarray(0, headerLength))
  const expectByte = (offset: number, expected: number, what: string): void => {
    const found = header.readUInt8(offset)
    if (found !== expected) throw damagedObject(key, `expected ${what} ${expected}, found ${found}`)
  }
  if (header.length < headerLength) {
    throw damagedObject(key, `expected a header of ${headerLength} bytes, found ${header.length} bytes`)
  }
  if (!header.subarray(0, magic.length).equals(magic)) {
    throw damagedObject(
      key,
      'expected it to begin with "HOLDFAST": it was overwritten, or holdfast did not write it',
    )
  }
  refuseNewerVersion(key, header.readUInt8(offsets.version))
  expectByte(offsets.version, formatVersion, 'format version')
  expectByte(offsets.kind, kindNumbers[kind], `kind (${kind})`)
  // An object without sealing in a sealed repository would be a way around the seal, so it is refused unread.
  expectByte(offsets.method, methodNumbers[keys.method], `sealing method (${keys.method})`)
  expectByte(offsets.reserved, 0, 'the reserved byte')
  expectKnownEpoch(identity, epochOf(header))
  return header
}

/** Which epoch's key an object is sealed with; 0: none. */
export function epochOf(header: Buffer): number {
  return header.readUInt32LE(offsets.epoch)
}

export function saltOf(header: Buffer): Buffer {
  return header.subarray(offsets.salt)
}

export function damagedObject(key: string, found: string, cause?: unknown): OperationError {
  return new OperationError('damaged', `opening "${key}": ${found}`, {
    ...(cause !== undefined && { cause }),
    hint: 'Bring this object back from another copy of the repository if there is one; what needs it cannot be restored.',
  })
}

function refuseNewerVersion(key: string, version: number): void {
  if (version <= formatVersion) return
  throw new OperationError(
    'format-newer',
    `opening "${key}": expected format version ${formatVersion}, found version ${version}`,
    { hint: 'Use the version of holdfast that wrote it, or a later one.' },
  )
}

function expectKnownEpoch({ key, keys }: ObjectIdentity, epoch: number): void {
  if (keys.method === 'none' || epoch === 0) {
    if (keys.method === 'none' && epoch === 0) return
    throw damagedObject(
      key,
      `expected a key epoch that fits the sealing method ${keys.method}, found ${epoch}`,
    )
  }
  if (keys.epochs.has(epoch)) return
  throw new OperationError(
    'key-missing',
    `opening "${key}": the keys at hand do not include those of epoch ${epoch}`,
    {
      hint: 'If the keys of the repository were rotated, start again; if not, the object is damaged.',
    },
  )
}
