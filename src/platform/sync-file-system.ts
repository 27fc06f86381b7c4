import { access, constants, stat, statfs } from 'node:fs/promises'
import { release } from 'node:os'
import { OperationError } from '../domain/operation-error.ts'
import { type BytePath, fromBytePath, showBytePath } from './byte-path.ts'
import { runProcess } from './child-process.ts'

/** Makes everything that was written durable; see `wholeFileSystemSync`. */
export type FileSystemSync = (signal: AbortSignal) => Promise<void>

export interface Machine {
  /** Of the kernel. Default: this one's. */
  readonly kernelRelease?: string
  /** Where the program may be. Default: where distributions install it. */
  readonly programs?: readonly string[]
  /** Magic numbers of statfs(2). Default: ext2 to ext4, XFS and Btrfs. */
  readonly fileSystems?: ReadonlySet<number>
}

/**
 * A sync of the file systems that these paths are on, by one syncfs(2) each: thousands of files cost one wait for the disk
 * instead of thousands. Node does not have the call; `sync --file-system` of GNU coreutils does it. Undefined where it does
 * not promise what an fsync of every file and directory would: then the caller has to sync those.
 *
 * That it failed means that nobody knows what the disk holds, so it is an error and never a reason to try something else.
 * Like an fsync of a file that is opened late it reports an error of earlier background writing as long as nobody has been
 * told (errseq_t in the kernel's Documentation/core-api/errseq.rst); but who else syncs this whole file system by syncfs in
 * between is told in our place, while nobody else syncs our files. `pg_basebackup --sync-method=syncfs` relies on the same.
 *
 * Aborting kills the program, which ends once the kernel has written what it had begun.
 */
export async function wholeFileSystemSync(
  paths: readonly BytePath[],
  machine: Machine = {},
): Promise<FileSystemSync | undefined> {
  if (!reportsWriteErrors(machine.kernelRelease ?? release())) return undefined
  const program = await findProgram(machine.programs ?? ['/usr/bin/sync', '/bin/sync'])
  if (program === undefined) return undefined
  const places = await onePlaceEach(paths)
  const trusted = machine.fileSystems ?? trustedFileSystems
  for (const place of places) if (!(await isOn(place, trusted))) return undefined
  return async (signal) => {
    for (const place of places) await syncFileSystem(program, place, signal)
  }
}

async function onePlaceEach(paths: readonly BytePath[]): Promise<readonly BytePath[]> {
  const places = new Map<number, BytePath>()
  for (const path of paths) {
    const { dev } = await stat(fromBytePath(path))
    if (!places.has(dev)) places.set(dev, path)
  }
  return [...places.values()]
}

/** Before Linux 5.8 syncfs(2) says nothing about data that could not be written. */
function reportsWriteErrors(kernelRelease: string): boolean {
  const [major = 0, minor = 0] = kernelRelease.split('.').map((part) => Number.parseInt(part, 10))
  return major > 5 || (major === 5 && minor >= 8)
}

/** GNU alone: busybox and uutils have had versions that do not look at what syncfs answers. With -f since 8.24. */
async function findProgram(programs: readonly string[]): Promise<string | undefined> {
  for (const program of programs) {
    if (!(await isExecutable(program))) continue
    const { exitCode, stdout } = await runProcess(program, ['--version'], { env, timeoutMs: 10_000 })
    const version = /^sync \(GNU coreutils\) (\d+)\.(\d+)/.exec(stdout.toString('latin1'))
    if (exitCode !== 0 || version === null) continue
    const [major, minor] = [Number(version[1]), Number(version[2])]
    if (major > 8 || (major === 8 && minor >= 24)) return program
  }
  return undefined
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return true
  } catch {
    // It is not there, or not for us: the caller has another way.
    return false
  }
}

/**
 * Magic numbers of ext2 to ext4, XFS and Btrfs (statfs(2)). FUSE does not pass syncfs on to its server, overlayfs does not
 * pass errors of the layer below up, and what others do has not been looked at.
 */
const trustedFileSystems: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e])

async function isOn(place: BytePath, fileSystems: ReadonlySet<number>): Promise<boolean> {
  // What is not UTF-8 cannot be handed to a program by Node.
  const isText = Buffer.from(fromBytePath(place).toString('utf8')).equals(fromBytePath(place))
  return isText && fileSystems.has((await statfs(fromBytePath(place))).type)
}

async function syncFileSystem(program: string, place: BytePath, signal: AbortSignal): Promise<void> {
  const path = fromBytePath(place).toString('utf8')
  const { exitCode, killedBy, stderr } = await runProcess(program, ['--file-system', path], { env, signal })
  if (exitCode === 0) return
  const isFull = /no space left on device|disk quota exceeded/i.test(stderr)
  const found = stderr.trim() === '' ? `it ended with ${exitCode ?? killedBy}` : stderr.trim()
  throw new OperationError(
    isFull ? 'no-space' : 'file-unwritable',
    `syncing the file system of ${showBytePath(place)} with "${program}": ${found}`,
    {
      hint: 'Nobody knows what is on the disk now: when the cause is gone, empty the directory and begin again.',
    },
  )
}

const env = { LC_ALL: 'C' }
