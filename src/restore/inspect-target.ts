import { access, constants, readdir, readlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { isPoisoned, readControlFile, type ControlFile } from '../postgres/control-file.ts'
import type { TablespaceRecord } from '../repository/manifest-head.ts'
import { checkPath, lookAt, nearestExisting, overlaps, type ForbiddenPlaces } from './check-path.ts'
import { findPostmaster, serverRunning } from './postmaster-file.ts'
import { markerFile, readMarker, type Claim, type LeftMarker, type Recovered } from './restore-marker.ts'
import type { RestoreRequest, TablespaceMapping } from './restore-request.ts'

/** A directory that a restore fills. */
export interface RestorePlace {
  /** 0: the data directory; else the OID of a tablespace. */
  readonly root: number
  /** Of the tablespace; empty for the data directory. */
  readonly name: string
  readonly path: string
  /**
   * `vacant`: absent or empty. `interrupted`: a restore of this cluster was not finished here. `occupied`: this cluster, to
   * be brought to the backup's state. `recovered`: what is asked for was reached and promoted here by a restore that did
   * not come to its end; nothing is written over.
   */
  readonly state: 'vacant' | 'interrupted' | 'occupied' | 'recovered'
  /** Of a data directory that is `recovered`. */
  readonly recovered?: Recovered
  /** Where pg_wal of the data directory leads to when it is a link; the restore makes it a directory, WAL fills this place. */
  readonly walLink?: string
}

export interface TargetRequest extends Pick<
  RestoreRequest,
  'targetDirectory' | 'isDelta' | 'tablespaceMap' | 'tablespaceFolder'
> {
  readonly systemIdentifier: string
  readonly tablespaces: readonly TablespaceRecord[]
  readonly forbidden: ForbiddenPlaces
  /** By `goalOf`. Undefined: nothing that was recovered is taken up. */
  readonly goal?: string
  /** Directories that carry our own marker by now, by their paths: they are looked at as they were before. */
  readonly claims?: ReadonlyMap<string, Claim>
}

/**
 * Looks at everything that a restore would fill, without changing anything, and refuses what could destroy something
 * (R14, R59): `server-running`, `directory-occupied`, `path-unsafe`, `file-unwritable`.
 */
export async function inspectTarget(
  request: TargetRequest,
  context: RunContext,
): Promise<readonly RestorePlace[]> {
  const path = request.targetDirectory
  await checkPath(path, 'restoring into', request.forbidden)
  const postmaster = await findPostmaster(path)
  // A server of ours that outlived its restore is ended before anything is written.
  if (postmaster !== undefined && !postmaster.isOurs) throw serverRunning(path, postmaster)
  const found = await inspectDataDirectory(request, context)
  const { state } = found
  // Without the marker of a restore that is dead it is not certain whose it is.
  if (postmaster !== undefined && (await markerLeftIn(path, request)) === undefined)
    throw serverRunning(path, postmaster)
  const walLink = await linkTarget(join(path, 'pg_wal'))
  const places: RestorePlace[] = [
    { root: 0, name: '', path, ...found, ...(walLink !== undefined && { walLink }) },
  ]
  refuseUnknownMappings(request)
  for (const tablespace of request.tablespaces) {
    if (tablespace.location === undefined) continue
    const place = await inspectTablespace(tablespace, request, state)
    const other = places.find((known) => overlaps(known.path, place.path))
    if (other !== undefined) throw overlapping(place, other)
    places.push(place)
  }
  return places
}

async function inspectDataDirectory(
  request: TargetRequest,
  context: RunContext,
): Promise<Pick<RestorePlace, 'state' | 'recovered'>> {
  const { targetDirectory, systemIdentifier, isDelta } = request
  const doing = `restoring into ${quote(targetDirectory)}`
  const content = await inspectFolder(targetDirectory, doing, request)
  if (content !== 'filled') return { state: content }
  const control = await readControlIfThere(targetDirectory, context)
  const marker = await markerLeftIn(targetDirectory, request)
  const left =
    marker?.systemIdentifier === systemIdentifier ? await leftState(marker, control, request) : undefined
  if (left !== undefined) return left
  if (!isDelta) {
    throw new OperationError('directory-occupied', `${doing}: it is not empty`, {
      hint: 'Name an empty directory, or add "--delta" to bring a copy of the same cluster there to the state of the backup.',
    })
  }
  if (control?.systemIdentifier === systemIdentifier) return { state: 'occupied' }
  const found =
    control === undefined ? 'no cluster' : `the cluster with system identifier ${control.systemIdentifier}`
  throw new OperationError(
    'directory-occupied',
    `${doing}: expected the cluster with system identifier ${systemIdentifier}, found ${found}`,
    {
      hint: '"--delta" works on a copy of the same cluster only; name an empty directory instead.',
    },
  )
}

/** What is left to do where a dead restore of this cluster has left its marker; undefined when that counts no more. */
async function leftState(
  { recovered }: LeftMarker,
  control: ControlFile | undefined,
  { targetDirectory, isDelta, goal }: TargetRequest,
): Promise<Pick<RestorePlace, 'state' | 'recovered'> | undefined> {
  if (await isUnfinished(control, targetDirectory)) return { state: 'interrupted' }
  if (isDelta || recovered === undefined || recovered.goal !== goal) return undefined
  if (control?.state !== 'in archive recovery' && control?.state !== 'shut down in recovery')
    return { state: 'recovered', recovered }
  // Its server ended between removing the signal and having its timeline: nobody's database yet, unless it is a standby.
  const isStandby = (await lookAt(join(targetDirectory, 'standby.signal'))) !== undefined
  return isStandby ? undefined : { state: 'interrupted' }
}

/**
 * Once it was promoted it is somebody's database, whatever a marker says. The server takes the signal away when it
 * promotes; its state alone proves nothing, because later it may recover from a crash, or be a standby.
 */
async function isUnfinished(control: ControlFile | undefined, dataDirectory: string): Promise<boolean> {
  if (control === undefined || isPoisoned(control)) return true
  return (
    control.state.includes('recovery') && (await lookAt(join(dataDirectory, 'recovery.signal'))) !== undefined
  )
}

async function inspectTablespace(
  { oid, name, location = '' }: TablespaceRecord,
  request: TargetRequest,
  dataState: RestorePlace['state'],
): Promise<RestorePlace> {
  const mapping = request.tablespaceMap.find((candidate) => isFor(candidate, { oid, name }))
  const { tablespaceFolder } = request
  const unmapped = tablespaceFolder === undefined ? location : join(tablespaceFolder, String(oid))
  const path = mapping?.directory ?? unmapped
  const doing = `restoring tablespace ${quote(name)} into`
  await checkPath(path, doing, request.forbidden)
  const place = { root: oid, name, path }
  const content = await inspectFolder(path, `${doing} ${quote(path)}`, request)
  if (content !== 'filled') return { ...place, state: content }
  const state = await claimOn(place, request, dataState)
  if (state !== undefined) return { ...place, state }
  throw new OperationError('directory-occupied', `${doing} ${quote(path)}: it is not empty`, {
    hint: `It may belong to a server that runs: name another directory with "--tablespace-map ${name}=DIR".`,
  })
}

/** Whether what a tablespace's directory holds is the cluster's that is restored; undefined when that is not certain. */
async function claimOn(
  { root, path }: Pick<RestorePlace, 'root' | 'path'>,
  request: TargetRequest,
  dataState: RestorePlace['state'],
): Promise<'interrupted' | 'occupied' | 'recovered' | undefined> {
  const { targetDirectory, systemIdentifier, isDelta } = request
  const marker = await markerLeftIn(path, request)
  const isLeft = marker?.systemIdentifier === systemIdentifier && marker.dataDirectory === targetDirectory
  // A marker alone may be one that was left in the tablespace of a cluster that runs since.
  if (isLeft && dataState === 'interrupted') return 'interrupted'
  // A restore that was killed before it had marked all tablespaces is no reason to refuse those of the cluster.
  const isRecovered = dataState === 'recovered'
  const link =
    isDelta || isRecovered ? await linkTarget(join(targetDirectory, 'pg_tblspc', String(root))) : undefined
  if (link !== path) return undefined
  return isRecovered ? 'recovered' : 'occupied'
}

async function markerLeftIn(path: string, { claims }: TargetRequest): Promise<LeftMarker | undefined> {
  const claim = claims?.get(path)
  return claim === undefined ? readMarker(path) : claim.left
}

/** What a marker is until it has its name: all that a restore leaves that was killed as soon as it had begun. */
const unfinishedMarker = /^\.holdfast-[0-9a-f]{32}\.tmp$/

/** Whether there is anything in it. Throws unless it could be filled by us. */
async function inspectFolder(
  path: string,
  doing: string,
  { claims }: TargetRequest,
): Promise<'vacant' | 'interrupted' | 'filled'> {
  const found = await lookAt(path)
  if (found === undefined) {
    await requireWritable(await nearestExisting(dirname(path)), doing)
    return 'vacant'
  }
  if (!found.isDirectory()) {
    throw new OperationError('directory-occupied', `${doing}: expected a directory, found something else`, {
      hint: 'Name another place.',
    })
  }
  if (found.uid !== process.getuid?.()) {
    throw new OperationError(
      'file-unwritable',
      `${doing}: expected it to belong to the user that we run as (uid ${process.getuid?.()}), found uid ${found.uid}`,
      {
        hint: 'Run the command as its owner, or change the owner: PostgreSQL starts only in a directory of its own user.',
      },
    )
  }
  await requireWritable(path, doing)
  const claim = claims?.get(path)
  const isNew = claim !== undefined && claim.left === undefined
  const names = (await readdir(path)).filter((name) => !(isNew && name === markerFile))
  if (names.length === 0) return 'vacant'
  return names.every((name) => unfinishedMarker.test(name)) ? 'interrupted' : 'filled'
}

async function requireWritable(path: string, doing: string): Promise<void> {
  try {
    await access(path, constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new OperationError('file-unwritable', `${doing}: ${quote(path)} cannot be written to`, {
      cause,
      hint: 'As root, run: install -d -m 700 -o OWNER DIRECTORY, with the user that runs PostgreSQL as owner.',
    })
  }
}

async function readControlIfThere(path: string, context: RunContext): Promise<ControlFile | undefined> {
  const file = join(path, 'global', 'pg_control')
  if ((await lookAt(file)) === undefined) return undefined
  try {
    return (await readControlFile(file, context)).control
  } catch (error) {
    if (isOperationError(error, 'damaged')) return undefined
    throw error
  }
}

function refuseUnknownMappings({ tablespaceMap, tablespaces }: TargetRequest): void {
  const placed = tablespaces.filter(({ location }) => location !== undefined)
  for (const [index, mapping] of tablespaceMap.entries()) {
    const meant = placed.find((tablespace) => isFor(mapping, tablespace))
    const isRepeated =
      meant !== undefined && tablespaceMap.slice(0, index).some((other) => isFor(other, meant))
    if (meant !== undefined && !isRepeated) continue
    const known = placed.map(({ oid, name }) => `${quote(name)} (${oid})`).join(', ')
    const found = isRepeated
      ? 'mapped twice'
      : `not in the backup, which has ${known === '' ? 'none' : known}`
    throw new OperationError('usage', `mapping tablespace ${quote(mapping.tablespace)}: it is ${found}`, {
      hint: 'Give each tablespace of the backup once, by its name or its OID.',
    })
  }
}

const isFor = (
  { tablespace }: TablespaceMapping,
  { oid, name }: Pick<TablespaceRecord, 'oid' | 'name'>,
): boolean => tablespace === name || tablespace === String(oid)

async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch {
    return undefined // not there, not a link, or not ours to read: then it proves nothing
  }
}

function overlapping(place: RestorePlace, other: RestorePlace): OperationError {
  const what = other.root === 0 ? 'the data directory' : `tablespace ${quote(other.name)}`
  return new OperationError(
    'path-unsafe',
    `restoring tablespace ${quote(place.name)} into ${quote(place.path)}: it overlaps with ${what} in ${quote(other.path)}`,
    {
      hint: 'Give each tablespace a directory of its own with "--tablespace-map".',
    },
  )
}
