import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import {
  isGoneFromThisMachine,
  readProcessIdentity,
  type ProcessIdentity,
} from '../platform/process-identity.ts'
import { stopOrphan } from '../restore/postmaster-file.ts'

/** The folder of one sandbox, which is removed with all that is in it. */
export interface SandboxFolder extends AsyncDisposable {
  readonly path: string
  readonly dataDirectory: string
  /** Where the directories of tablespaces are made. */
  readonly tablespaceFolder: string
}

const prefix = 'sandbox-'
const ownName = /^sandbox-[A-Za-z0-9]{6}$/
/** Which process a sandbox belongs to. */
const ownerFile = 'owner.json'
/** One without an owner is of somebody who has just begun, or was killed right then. */
const beginsForMs = 3_600_000

/** A link in it to the directory of the server's socket, whose path must be short. */
export const socketLink = 'socket'

/** Makes the folder of a new sandbox, after it has removed those whose processes are dead, and their servers. */
export async function makeSandboxFolder(parent: string, context: RunContext): Promise<SandboxFolder> {
  const path = await makeFolder(parent, context)
  return {
    path,
    dataDirectory: dataDirectoryOf(path),
    tablespaceFolder: join(path, 'tablespaces'),
    [Symbol.asyncDispose]: () => removeFolder(path, context),
  }
}

async function makeFolder(parent: string, context: RunContext): Promise<string> {
  try {
    await mkdir(parent, { recursive: true, mode: 0o700 })
    await removeDeadSandboxes(parent, context)
    const path = await mkdtemp(join(parent, prefix))
    await writeFile(join(path, ownerFile), JSON.stringify(readProcessIdentity()), { mode: 0o600 })
    await mkdir(join(path, 'tablespaces'), { mode: 0o700 })
    return path
  } catch (cause) {
    if (cause instanceof OperationError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new OperationError('file-unwritable', `making a sandbox in ${quote(parent)}: ${why}`, {
      cause,
      hint: 'Name a directory that the user of the server may write to, with "--sandbox-directory" or the setting "sandbox.directory".',
    })
  }
}

/** What was left by processes that were killed. Never one whose process may live. */
async function removeDeadSandboxes(parent: string, context: RunContext): Promise<void> {
  for (const name of (await readdir(parent)).filter((found) => ownName.test(found))) {
    const path = join(parent, name)
    if (!(await isDead(path, context))) continue
    await stopOrphan(dataDirectoryOf(path), 'at once', context)
    await removeFolder(path, context)
    context.report({ kind: 'note', message: `removed the sandbox ${quote(path)}, whose process is dead` })
  }
}

const dataDirectoryOf = (path: string): string => join(path, 'data')

async function isDead(path: string, { clock }: RunContext): Promise<boolean> {
  const owner = await readOwner(path)
  if (owner !== undefined) return isGoneFromThisMachine(owner, readProcessIdentity())
  const found = await stat(path).catch(() => undefined)
  return found !== undefined && clock.now() - found.mtimeMs > beginsForMs
}

async function readOwner(path: string): Promise<ProcessIdentity | undefined> {
  try {
    const read: unknown = JSON.parse(await readFile(join(path, ownerFile), 'utf8'))
    return isIdentity(read) ? read : undefined
  } catch {
    return undefined // not written yet, or not wholly
  }
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false
  const texts = ['host', 'bootId', 'pidNamespace', 'startTicks'] as const
  const record: Readonly<Record<string, unknown>> = { ...value }
  return texts.every((name) => typeof record[name] === 'string') && typeof record['pid'] === 'number'
}

async function removeFolder(path: string, { report }: RunContext): Promise<void> {
  try {
    // What fetches WAL ahead for a recovery may end a little later than its server, and put a file here meanwhile.
    await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  } catch (error) {
    const message = `removing the sandbox ${quote(path)} failed: ${String(error)}`
    report({ kind: 'warning', message, hint: 'Remove it by hand: nothing needs it.' })
  }
}
