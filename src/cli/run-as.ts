import assert from 'node:assert/strict'
import { accessSync, constants } from 'node:fs'
import { stat } from 'node:fs/promises'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { processEnvironment, setEnvironmentVariable } from '../platform/environment.ts'
import { findUnixUser, supplementaryGroups } from '../platform/unix-user.ts'
import type { UnixUser } from '../platform/unix-user.ts'

/** Whom the tool should become, and what says so. */
export type UserDecision =
  /** It is not root, so it is whom it was started as. */
  | { readonly kind: 'stay' }
  | { readonly kind: 'become'; readonly user: string | number; readonly because: string }
  /** It is root and nothing says who owns the cluster. */
  | { readonly kind: 'undecided' }

interface UserEvidence {
  readonly isRoot: boolean
  /** The cluster's setting of that name. */
  readonly runAs: string | undefined
  /** The uid that owns the data directory; undefined when there is none yet. */
  readonly dataDirectoryOwner: number | undefined
  /** The uid that owns the server's socket; undefined when the server is not reached through one. */
  readonly socketOwner: number | undefined
}

/**
 * Decides whom the tool becomes when it was started as root. PostgreSQL never runs as root, so what root owns says nothing
 * about the cluster's owner.
 */
export function decideUser({ isRoot, runAs, dataDirectoryOwner, socketOwner }: UserEvidence): UserDecision {
  if (!isRoot) return { kind: 'stay' }
  if (runAs !== undefined) return { kind: 'become', user: runAs, because: 'run-as names it' }
  if (dataDirectoryOwner !== undefined && dataDirectoryOwner !== 0) {
    return { kind: 'become', user: dataDirectoryOwner, because: 'it owns the data directory' }
  }
  if (socketOwner !== undefined && socketOwner !== 0) {
    return { kind: 'become', user: socketOwner, because: "it owns the server's socket" }
  }
  return { kind: 'undecided' }
}

interface ClusterPlaces {
  readonly runAs?: string | undefined
  readonly dataDirectory?: string | undefined
  /** The server's socket, such as `/run/postgresql/.s.PGSQL.5432`. */
  readonly socket?: string | undefined
}

/**
 * Makes this process the owner of the cluster when it is root, before it touches anything but what `prepare` does for
 * that user as root. Gives the user that it became, or undefined when it was not root. Refuses to go on as root.
 */
export async function becomeClusterOwner(
  { runAs, dataDirectory, socket }: ClusterPlaces,
  prepare?: (user: UnixUser) => Promise<void>,
): Promise<UnixUser | undefined> {
  const decision = decideUser({
    isRoot: process.geteuid?.() === 0,
    runAs,
    dataDirectoryOwner: await ownerOf(dataDirectory),
    socketOwner: await ownerOf(socket),
  })
  switch (decision.kind) {
    case 'stay':
      return undefined
    case 'undecided':
      throw new OperationError(
        'usage',
        'started as root: expected a data directory or a run-as that names its owner',
        {
          hint: 'Set "run-as" for the cluster, or run the command as the user who owns the data directory.',
        },
      )
    case 'become': {
      const user = findUser(decision.user, decision.because)
      await prepare?.(user)
      becomeUser(user)
      return user
    }
  }
}

/**
 * Does `work` with the rights of the user, then is root again: for looking around before anything is made. Nothing else
 * may run meanwhile.
 */
export async function actAs<Result>(user: UnixUser, work: () => Promise<Result>): Promise<Result> {
  assert(process.setgroups && process.setegid && process.seteuid && process.getgroups)
  const groups = process.getgroups()
  const home = processEnvironment()['HOME'] ?? ''
  process.setgroups([user.gid, ...supplementaryGroups(user.name)])
  process.setegid(user.gid)
  process.seteuid(user.uid)
  setEnvironmentVariable('HOME', user.home)
  try {
    return await work()
  } finally {
    process.seteuid(0)
    process.setegid(0)
    process.setgroups(groups)
    setEnvironmentVariable('HOME', home)
  }
}

/** Makes this process the user for good: its groups, its home, its file modes. Root alone may do this. */
function becomeUser(user: UnixUser): void {
  assert(process.setgroups && process.setgid && process.setuid, 'users can only be changed on Unix')
  process.setgroups([user.gid, ...supplementaryGroups(user.name)])
  process.setgid(user.gid)
  process.setuid(user.uid)
  assert(process.getuid?.() === user.uid && process.getgid?.() === user.gid, 'the user did not change')
  process.umask(0o077)
  setEnvironmentVariable('HOME', user.home)
  setEnvironmentVariable('USER', user.name)
  setEnvironmentVariable('LOGNAME', user.name)
  leaveForeignDirectory()
}

/** Programs that we start would fail in a working directory that the user may not enter, such as root's home. */
function leaveForeignDirectory(): void {
  try {
    accessSync('.', constants.X_OK)
  } catch {
    process.chdir('/')
  }
}

async function ownerOf(path: string | undefined): Promise<number | undefined> {
  if (path === undefined) return undefined
  try {
    return (await stat(path)).uid
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) {
      return undefined
    }
    throw error
  }
}

function findUser(wanted: string | number, because: string): UnixUser {
  const user = findUnixUser(wanted)
  if (user !== undefined) return user
  const name = typeof wanted === 'number' ? `uid ${wanted}` : quote(wanted)
  throw new OperationError(
    'config-invalid',
    `becoming ${name}, because ${because}: no such user in /etc/passwd`,
    {
      hint: 'Set "run-as" for the cluster to a user of this machine, or run the command as that user.',
    },
  )
}
