import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { toLsn, type Lsn } from '../domain/lsn.ts'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import type { PostgresMajor } from '../domain/postgres-version.ts'
import type { RunContext } from '../domain/run-context.ts'
import { toSystemIdentifier, type SystemIdentifier } from '../domain/system-identifier.ts'
import { isTimelineId, type TimelineId } from '../domain/timeline.ts'
import { crc32c } from '../platform/crc32c.ts'
import { describeSystemError, isSystemError } from '../platform/durable-file.ts'

/** DBState in catalog/pg_control.h, in its order. */
const clusterStates = [
  'starting up',
  'shut down',
  'shut down in recovery',
  'shutting down',
  'in crash recovery',
  'in archive recovery',
  'in production',
] as const

type ClusterState = (typeof clusterStates)[number]

/** What global/pg_control says about a cluster. */
export interface ControlFile {
  readonly systemIdentifier: SystemIdentifier
  readonly controlVersion: number
  readonly catalogVersion: number
  /** 14 to 18; undefined for a catalogue of no released version. */
  readonly major: PostgresMajor | undefined
  readonly state: ClusterState
  /** Seconds since 1970 by the server's clock. */
  readonly writtenAtSeconds: number
  readonly checkpointLsn: Lsn
  readonly redoLsn: Lsn
  readonly timeline: TimelineId
  readonly previousTimeline: TimelineId
  readonly hasFullPageWrites: boolean
  readonly checkpointAtSeconds: number
  /** 0/0 unless a standby or an archive recovery has written it. */
  readonly minRecoveryLsn: Lsn
  /** 0 where `minRecoveryLsn` is. */
  readonly minRecoveryTimeline: number
  readonly backupStartLsn: Lsn
  readonly backupEndLsn: Lsn
  readonly isBackupEndRequired: boolean
  readonly walLevel: number
  readonly hasWalLogHints: boolean
  readonly maxConnections: number
  readonly maxWorkerProcesses: number
  readonly maxWalSenders: number
  readonly maxPreparedTransactions: number
  readonly maxLocksPerTransaction: number
  readonly blockSizeBytes: number
  readonly blocksPerRelationFile: number
  readonly walBlockSizeBytes: number
  readonly walSegmentSizeBytes: number
  /** 0: pages carry no checksums. */
  readonly dataChecksumVersion: number
}

/** PG_CONTROL_FILE_SIZE in catalog/pg_control.h: the file is this long, zeros after its content. */
export const controlFileBytes = 8192

/**
 * Lies in segment 0, which no cluster ever has at any segment size: a server that takes its checkpoint from a control
 * file with this cannot start (R57). With a backup_label it takes the checkpoint from there.
 */
export const poisonedCheckpointLsn: Lsn = toLsn(0xdeadn)

/** Offsets in ControlFileData (catalog/pg_control.h), the same from 14 to 18; its CheckPoint begins at 40. */
const offsets = {
  systemIdentifier: 0,
  controlVersion: 8,
  catalogVersion: 12,
  state: 16,
  writtenAt: 24,
  checkpoint: 32,
  redo: 40,
  timeline: 48,
  previousTimeline: 52,
  fullPageWrites: 56,
  checkpointAt: 104,
  minRecovery: 136,
  minRecoveryTimeline: 144,
  backupStart: 152,
  backupEnd: 160,
  backupEndRequired: 168,
  walLevel: 172,
  walLogHints: 176,
  maxConnections: 180,
  maxWorkerProcesses: 184,
  maxWalSenders: 188,
  maxPreparedTransactions: 192,
  maxLocksPerTransaction: 196,
  floatFormat: 208,
  blockSize: 216,
  blocksPerRelationFile: 220,
  walBlockSize: 224,
  walSegmentSize: 228,
  dataChecksumVersion: 252,
} as const

/** Where the CRC stands, by pg_control_version: 18 has one field more (default_char_signedness). */
const crcOffsets: ReadonlyMap<number, number> = new Map([
  [1300, 288],
  [1700, 288],
  [1800, 292],
])

/** CATALOG_VERSION_NO of each released major. */
const majors: ReadonlyMap<number, PostgresMajor> = new Map([
  [202_107_181, 14],
  [202_209_061, 15],
  [202_307_071, 16],
  [202_406_281, 17],
  [202_506_291, 18],
])

/** ControlFileData.floatFormat: proves that the fields lie where we think. */
const floatFormat = 1_234_567

/** Checks version, CRC and plausibility before it believes anything. */
export function parseControlFile(bytes: Uint8Array): ControlFile {
  const view = verifiedView(bytes)
  const u32 = (offset: number): number => view.getUint32(offset, true)
  const lsn = (offset: number): Lsn => toLsn(view.getBigUint64(offset, true))
  const seconds = (offset: number): number => Number(view.getBigInt64(offset, true))
  return {
    systemIdentifier: toSystemIdentifier(view.getBigUint64(offsets.systemIdentifier, true)),
    controlVersion: u32(offsets.controlVersion),
    catalogVersion: u32(offsets.catalogVersion),
    major: majors.get(u32(offsets.catalogVersion)),
    state: stateOf(u32(offsets.state)),
    writtenAtSeconds: seconds(offsets.writtenAt),
    checkpointLsn: lsn(offsets.checkpoint),
    redoLsn: lsn(offsets.redo),
    timeline: timelineOf(u32(offsets.timeline)),
    previousTimeline: timelineOf(u32(offsets.previousTimeline)),
    hasFullPageWrites: view.getUint8(offsets.fullPageWrites) !== 0,
    checkpointAtSeconds: seconds(offsets.checkpointAt),
    minRecoveryLsn: lsn(offsets.minRecovery),
    minRecoveryTimeline: u32(offsets.minRecoveryTimeline),
    backupStartLsn: lsn(offsets.backupStart),
    backupEndLsn: lsn(offsets.backupEnd),
    isBackupEndRequired: view.getUint8(offsets.backupEndRequired) !== 0,
    walLevel: u32(offsets.walLevel),
    hasWalLogHints: view.getUint8(offsets.walLogHints) !== 0,
    maxConnections: u32(offsets.maxConnections),
    maxWorkerProcesses: u32(offsets.maxWorkerProcesses),
    maxWalSenders: u32(offsets.maxWalSenders),
    maxPreparedTransactions: u32(offsets.maxPreparedTransactions),
    maxLocksPerTransaction: u32(offsets.maxLocksPerTransaction),
    blockSizeBytes: u32(offsets.blockSize),
    blocksPerRelationFile: u32(offsets.blocksPerRelationFile),
    walBlockSizeBytes: u32(offsets.walBlockSize),
    walSegmentSizeBytes: u32(offsets.walSegmentSize),
    dataChecksumVersion: u32(offsets.dataChecksumVersion),
  }
}

/** A copy whose checkpoint exists nowhere, so that a server without backup_label refuses to start (M8, R57). */
export function poisonControlFile(bytes: Uint8Array): Buffer {
  verifiedView(bytes)
  const poisoned = Buffer.from(bytes)
  poisoned.writeBigUInt64LE(poisonedCheckpointLsn, offsets.checkpoint)
  const crcOffset = crcOffsetOf(poisoned.readUInt32LE(offsets.controlVersion))
  poisoned.writeUInt32LE(crc32c(poisoned.subarray(0, crcOffset)) >>> 0, crcOffset)
  return poisoned
}

export function isPoisoned(control: Pick<ControlFile, 'checkpointLsn'>): boolean {
  return control.checkpointLsn === poisonedCheckpointLsn
}

const mostAttempts = 100
const pauseBetweenAttemptsMs = 10

/**
 * Reads a control file that a server may be writing at the same time: until two reads in a row agree and their CRC is good
 * (R12). Returns what was read with what it says.
 */
export async function readControlFile(
  path: string,
  context: RunContext,
): Promise<{ readonly bytes: Buffer; readonly control: ControlFile }> {
  await using file = await openForReading(path)
  let failure: OperationError | undefined
  for (let attempt = 0; attempt < mostAttempts; attempt += 1) {
    context.signal.throwIfAborted()
    // The two reads follow each other at once: a server may checkpoint more often than any pause between them is short.
    const previous = await readOnce(file, path)
    const bytes = await readOnce(file, path)
    const control = bytes.equals(previous) ? parseUnlessTorn(bytes) : undefined
    if (control !== undefined && !(control instanceof OperationError)) return { bytes, control }
    failure = control ?? failure
    await context.clock.sleep(pauseBetweenAttemptsMs, context.signal)
  }
  throw new OperationError(
    'damaged',
    `"${path}" did not become a valid control file in ${mostAttempts} attempts`,
    {
      cause: failure,
      hint: 'Check the disk under the data directory; a server that runs rewrites this file at its next checkpoint.',
    },
  )
}

/** A torn write may even last for two reads, so damage is returned; a version that we do not know lasts for ever. */
function parseUnlessTorn(bytes: Uint8Array): ControlFile | OperationError {
  try {
    return parseControlFile(bytes)
  } catch (error) {
    if (isOperationError(error, 'damaged')) return error
    throw error
  }
}

async function openForReading(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r')
  } catch (cause) {
    throw unreadable('opening', path, cause)
  }
}

async function readOnce(file: FileHandle, path: string): Promise<Buffer> {
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(controlFileBytes), 0, controlFileBytes, 0)
    return buffer.subarray(0, bytesRead)
  } catch (cause) {
    throw unreadable('reading', path, cause)
  }
}

function unreadable(doing: string, path: string, cause: unknown): OperationError {
  const why = isSystemError(cause) ? describeSystemError(cause) : String(cause)
  return new OperationError('file-unreadable', `${doing} control file "${path}": ${why}`, { cause })
}

function verifiedView(bytes: Uint8Array): DataView {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length !== controlFileBytes) {
    throw damaged(`is ${bytes.length} bytes long, expected ${controlFileBytes}`)
  }
  const crcOffset = crcOffsetOf(view.getUint32(offsets.controlVersion, true))
  const found = view.getUint32(crcOffset, true)
  const expected = crc32c(bytes.subarray(0, crcOffset)) >>> 0
  if (found !== expected) throw damaged(`has CRC ${found.toString(16)}, expected ${expected.toString(16)}`)
  if (view.getFloat64(offsets.floatFormat, true) !== floatFormat)
    throw damaged('has an unknown floating-point format')
  return view
}

function crcOffsetOf(controlVersion: number): number {
  const offset = crcOffsets.get(controlVersion)
  if (offset !== undefined) return offset
  throw new OperationError(
    'server-unsuitable',
    `control file has version ${controlVersion}, expected one of ${[...crcOffsets.keys()].join(', ')}`,
    { hint: 'Holdfast supports PostgreSQL 14 to 18 on little-endian machines.' },
  )
}

function stateOf(value: number): ClusterState {
  const state = clusterStates[value]
  if (state === undefined) throw damaged(`has state ${value}, expected 0 to ${clusterStates.length - 1}`)
  return state
}

function timelineOf(value: number): TimelineId {
  if (!isTimelineId(value)) throw damaged(`has timeline ${value}`)
  return value
}

function damaged(message: string): OperationError {
  return new OperationError('damaged', `control file ${message}`)
}
