import { isOperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { isProvablyDead, type ProcessIdentity } from '../platform/process-identity.ts'
import type { ListedObject } from '../storage/object-store.ts'
import { leaseFolder, leaseKey, leasePrefix, type LeasePosition } from './object-keys.ts'
import type { Repository } from './open-repository.ts'
import { encodeRecord, RecordReader } from './record.ts'
import { readObject, writeObject } from './sealed-store.ts'

/** How long a lease holds without a new beat. A holder beats three times as often, and stops before it runs out. */
export const leaseLifetimeMs = 60_000
/** A beat of this age, by one's own clock, is believed without looking twice. */
const clockSkewMs = 120_000
/** A living holder beats three times in it, and stops by itself when it could not for its lifetime. */
const observationMs = leaseLifetimeMs + 10_000
/** The beat that says: given back. */
export const releasedBeat = 99_999_999

export interface LeaseRequest {
  readonly clusterId: string
  /** What is leased, such as `backup`. One holder at a time per cluster and scope. */
  readonly scope: string
  /** What the holder does, for whoever finds the lease taken. */
  readonly purpose: string
  readonly holder: ProcessIdentity
}

/** The newest sign of life in one scope. */
export interface LeaseBeat extends LeasePosition {
  readonly scope: string
  /** Undefined when the beat cannot be read. */
  readonly holder: ProcessIdentity | undefined
  readonly purpose: string
  readonly beatAtMs: number
}

/** Which claims of leases there are, one of each scope: held or not. */
export interface KnownLease {
  readonly scope: string
  readonly token: number
  readonly isHeld: boolean
  readonly purpose: string
}

/** The newest claim of every scope of a cluster: who works on it now, and who did. */
export async function readLeases(
  repository: Repository,
  { clusterId, self }: { readonly clusterId: string; readonly self: ProcessIdentity },
  context: RunContext,
): Promise<readonly KnownLease[]> {
  const scopes = new Set<string>()
  const folder = leaseFolder(clusterId)
  for await (const { key } of repository.store.list(folder, context)) {
    const [scope = ''] = key.slice(folder.length).split('/')
    scopes.add(scope)
  }
  const leases = await Promise.all(
    [...scopes].map(async (scope): Promise<KnownLease | undefined> => {
      const newest = await findNewestBeat(repository, { clusterId, scope }, context)
      if (newest === undefined) return undefined
      const held = await isHeld(repository, { clusterId, newest, self }, context)
      return { scope, token: newest.token, purpose: newest.purpose, isHeld: held }
    }),
  )
  return leases.filter((lease) => lease !== undefined)
}

interface Judged {
  readonly clusterId: string
  readonly newest: LeaseBeat
  readonly self: ProcessIdentity
}

/**
 * Whether the holder must be taken for alive: it has not given the lease back, is not provably dead, and beats. The clocks
 * of two hosts prove nothing (T2): a beat that looks old, or of the future, is watched for as long as a holder may be
 * silent, and only one that is still the newest then is dead.
 */
export async function isHeld(
  repository: Repository,
  { clusterId, newest, self }: Judged,
  context: RunContext,
): Promise<boolean> {
  if (newest.beat === releasedBeat) return false
  if (newest.holder !== undefined && isProvablyDead(newest.holder, self)) return false
  const ageMs = context.clock.now() - newest.beatAtMs
  if (ageMs >= -clockSkewMs && ageMs <= leaseLifetimeMs + clockSkewMs) return true
  await context.clock.sleep(observationMs, context.signal)
  const later = await findNewestBeat(repository, { clusterId, scope: newest.scope }, context)
  if (later === undefined || later.beat === releasedBeat) return false
  return later.token !== newest.token || later.beat !== newest.beat
}

type ScopeName = Pick<LeaseRequest, 'clusterId' | 'scope'>

/** The newest beat of the highest token; undefined when the scope was never claimed. */
async function findNewestBeat(
  repository: Repository,
  scope: ScopeName,
  context: RunContext,
): Promise<LeaseBeat | undefined> {
  const listed = await listBeats(repository, scope, context)
  return readNewestBeat(repository, { ...scope, listed }, context)
}

/** One beat as it is listed, unread. */
export interface ListedBeat {
  readonly object: ListedObject
  readonly position: LeasePosition
}

/** All beats of a scope that are there, the newest last. */
export async function listBeats(
  { store }: Repository,
  { clusterId, scope }: ScopeName,
  context: RunContext,
): Promise<readonly ListedBeat[]> {
  const beats: ListedBeat[] = []
  for await (const object of store.list(leasePrefix(clusterId, scope), context)) {
    const match = /\/(\d{10})\.(\d{8})$/.exec(object.key)
    if (match !== null) beats.push({ object, position: { token: Number(match[1]), beat: Number(match[2]) } })
  }
  return beats
}

/** The newest of what was listed, or of what is there now when its holder has moved on since. */
export async function readNewestBeat(
  repository: Repository,
  { listed, clusterId, scope }: ScopeName & { readonly listed: readonly ListedBeat[] },
  context: RunContext,
): Promise<LeaseBeat | undefined> {
  const newest = listed.at(-1)
  if (newest === undefined) return undefined
  const beat = await readBeat(repository, newest.object, context)
  if (beat === undefined) return findNewestBeat(repository, { clusterId, scope }, context)
  return { ...newest.position, scope, ...beat }
}

type BeatContent = Pick<LeaseBeat, 'holder' | 'purpose' | 'beatAtMs'>

/** A beat that cannot be read still shows by its age how long its holder has been silent: it must not lock everybody out. */
async function readBeat(
  repository: Repository,
  { key, modifiedAtMs }: ListedObject,
  context: RunContext,
): Promise<BeatContent | undefined> {
  try {
    const payload = await readObject(repository, { kind: 'lease', key }, context)
    return payload && decodeBeat(payload, key)
  } catch (error) {
    if (!isOperationError(error, 'damaged')) throw error
    return { holder: undefined, purpose: 'work that cannot be read', beatAtMs: modifiedAtMs }
  }
}

function decodeBeat(payload: Uint8Array, key: string): BeatContent {
  const reader = RecordReader.decode(payload, `lease "${key}"`)
  const holder = reader.record('holder')
  return {
    purpose: reader.string('purpose'),
    beatAtMs: reader.count('beatAtMs'),
    holder: {
      host: holder.string('host'),
      bootId: holder.string('bootId'),
      pidNamespace: holder.string('pidNamespace'),
      pid: holder.count('pid'),
      startTicks: holder.string('startTicks'),
    },
  }
}

/** Stores one beat. */
export function writeBeat(
  repository: Repository,
  { clusterId, scope, purpose, holder }: LeaseRequest,
  { position, context }: { position: LeasePosition; context: RunContext },
): Promise<'created' | 'exists'> {
  const name = { kind: 'lease', key: leaseKey(clusterId, scope, position) } as const
  const payload = encodeRecord({ purpose, holder, beatAtMs: context.clock.now() })
  return writeObject(repository, { name, payload }, context)
}
