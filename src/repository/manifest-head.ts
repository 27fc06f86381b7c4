import assert from 'node:assert/strict'
import { BinaryReader } from '../codec/binary-reader.ts'
import { BinaryWriter } from '../codec/binary-writer.ts'
import { parseBackupLabel, type BackupLabel } from '../domain/backup-label.ts'
import { OperationError } from '../domain/operation-error.ts'
import { decodeBackupEntry, encodeBackupEntry, type BackupEntry } from './backup-entry.ts'
import { encodeRecord, RecordReader } from './record.ts'
import { refuseNewerFormat } from './repository-header.ts'

/** A pack that a manifest refers to. */
export interface PackReference {
  /** The backup that wrote the pack. */
  readonly label: BackupLabel
  readonly number: number
  readonly sizeBytes: number
  /** How many raw bytes of it this manifest refers to: tells which packs are mostly dead without reading the entries. */
  readonly liveBytes: number
  /** How many raw bytes were referred to when the pack was written. The share that is live tells whether to move it. */
  readonly rawBytes: number
  /** The tag of the pack's index: another pack under the same key is noticed. */
  readonly indexTag: Uint8Array
}

export interface TablespaceRecord {
  readonly oid: number
  readonly name: string
  /** Where it was on the server; for one inside pg_tblspc, undefined. */
  readonly location: string | undefined
}

export interface ManifestPart {
  readonly sizeBytes: number
  /** Keyed digest of the part's bytes, in hexadecimal. */
  readonly digest: string
}

/** Everything about a backup but its files, which are in the parts. */
export interface ManifestHead {
  /** As the catalogue lists it, but for the digest of the manifest, which cannot be inside it. */
  readonly backup: Omit<BackupEntry, 'manifestDigest'>
  readonly systemIdentifier: string
  readonly hasDataChecksums: boolean
  readonly walSegmentSize: number
  readonly serverVersion: string
  /** `backup_label` and `tablespace_map`, byte for byte as the server gave them (R4). */
  readonly backupLabelFile: Uint8Array
  readonly tablespaceMap: Uint8Array
  readonly tablespaces: readonly TablespaceRecord[]
  /** `user:group` names that entries refer to by index. */
  readonly owners: readonly string[]
  readonly parts: readonly ManifestPart[]
  readonly packs: readonly PackReference[]
}

/** In a head of the first version all packs are as live as when they were written; the second has their raw bytes too. */
const wholeVersion = 1
const partVersion = 2

const indexTagBytes = 16
const largestRecordBytes = 16 * 1024 * 1024
const largestOid = 2 ** 32 - 1

/** Length of the record, the record, then the pack table: docs/formats/manifest.md. */
export function encodeManifestHead(head: ManifestHead): Uint8Array {
  const { packs, backup, ...rest } = head
  const labels = [...new Set(packs.map(({ label }) => label))]
  const version = packs.every(({ liveBytes, rawBytes }) => liveBytes === rawBytes)
    ? wholeVersion
    : partVersion
  const record = encodeRecord({
    version,
    ...rest,
    backup: encodeBackupEntry({ ...backup, manifestDigest: '' }),
    backupLabelFile: Buffer.from(head.backupLabelFile).toString('base64'),
    tablespaceMap: Buffer.from(head.tablespaceMap).toString('base64'),
    owners: head.owners.map((name) => ({ name })),
    packLabels: labels.map((label) => ({ label })),
  })
  assert.ok(record.length <= largestRecordBytes, `the manifest's record would have ${record.length} bytes`)
  const writer = new BinaryWriter()
  writer.varint(record.length)
  writer.bytes(record)
  writer.varint(packs.length)
  for (const pack of packs) {
    writer.varint(labels.indexOf(pack.label))
    writer.varint(pack.number)
    writer.varint(pack.sizeBytes)
    writer.varint(pack.liveBytes)
    if (version === partVersion) writer.varint(pack.rawBytes)
    writer.bytes(pack.indexTag)
  }
  return writer.finish()
}

export function decodeManifestHead(payload: Uint8Array, key: string): ManifestHead {
  const reader = new BinaryReader(payload, `manifest "${key}"`)
  const record = RecordReader.decode(reader.sizedBytes(largestRecordBytes), `manifest "${key}"`)
  const version = record.count('version')
  refuseNewerFormat(version, `reading manifest "${key}"`, partVersion)
  const labels = record.records('packLabels').map((member) => member.parsed('label', parseBackupLabel))
  const packs = Array.from({ length: reader.count(4 + indexTagBytes) }, (): PackReference => {
    const label = labels[reader.varint()]
    if (label === undefined)
      throw new OperationError('damaged', `reading manifest "${key}": a pack has no label`)
    const [number, sizeBytes, liveBytes] = [reader.varint(), reader.varint(), reader.varint()]
    return {
      label,
      number,
      sizeBytes,
      liveBytes,
      rawBytes: version < partVersion ? liveBytes : reader.varint(),
      indexTag: new Uint8Array(reader.bytes(indexTagBytes)),
    }
  })
  reader.expectEnd()
  const { manifestDigest: _notInside, ...backup } = decodeBackupEntry(record.record('backup'))
  return {
    backup,
    systemIdentifier: record.string('systemIdentifier'),
    hasDataChecksums: record.boolean('hasDataChecksums'),
    walSegmentSize: record.count('walSegmentSize'),
    serverVersion: record.string('serverVersion'),
    backupLabelFile: record.parsed('backupLabelFile', parseBase64),
    tablespaceMap: record.parsed('tablespaceMap', parseBase64),
    tablespaces: decodeTablespaces(record.records('tablespaces'), key),
    owners: record.records('owners').map((member) => member.string('name')),
    parts: record
      .records('parts')
      .map((part) => ({ sizeBytes: part.count('sizeBytes'), digest: part.string('digest') })),
    packs,
  }
}

/** Buffer's own decoder passes over what it does not know; these files must be as the server gave them (R4). */
function parseBase64(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  assert.equal(bytes.toString('base64'), text)
  return bytes
}

/** By its OID a tablespace's files are found: one that is no OID or stands twice would send files to another place. */
function decodeTablespaces(readers: readonly RecordReader[], key: string): readonly TablespaceRecord[] {
  const tablespaces = readers.map((reader) => ({
    oid: reader.count('oid'),
    name: reader.string('name'),
    location: reader.optionalString('location'),
  }))
  const oids = new Set(tablespaces.map(({ oid }) => oid))
  if (oids.size === tablespaces.length && [...oids].every((oid) => oid > 0 && oid <= largestOid))
    return tablespaces
  throw new OperationError(
    'damaged',
    `reading manifest "${key}": expected tablespaces with an OID each, found ${tablespaces.map(({ oid }) => oid).join(', ')}`,
  )
}
