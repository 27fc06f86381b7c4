import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { isGoneFromThisMachine, readProcessIdentity, type ProcessIdentity } from './process-identity.ts'

/** A folder of this process, which is removed with all that is in it. */
export interface OwnedFolder extends AsyncDisposable {
  readonly path: string
}

export interface OwnedFolderRequest {
  /** Is made when it is not there. */
  readonly parent: string
  /** What it is, for its name and for messages: a word of letters. */
  readonly kind: string
  /** For when it cannot be made. */
  readonly hint: string
  /** Called before the folder of a dead process is removed: ends what still works in it. */
  readonly beforeRemoval?: (path: string) => Promise<void>
}

/** Which process a folder belongs to. */
const ownerFile = 'owner.json'
/** One without an owner is of somebody who has just begun, or was killed right then. */
const beginsForMs = 3_600_000

/**
 * Makes a folder that belongs to this process, after it has removed those of the same kind whose processes are dead. Throws
 * `file-unwritable`.
 */
export async function makeOwnedFolder(
  request: OwnedFolderRequest,
  context: RunContext,
): Promise<OwnedFolder> {
  const { parent, kind, hint } = request
  try {
    await mkdir(parent, { recursive: true, mode: 0o700 })
    await removeDead(request, context)
    const path = await mkdtemp(join(parent, `${kind}-`))
    await writeFile(join(path, ownerFile), JSON.stringify(readProcessIdentity()), { mode: 0o600 })
    return { path, [Symbol.asyncDispose]: () => removeFolder(path, kind, context) }
  } catch (cause) {
    if (cause instanceof OperationError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new OperationError('file-unwritable', `making a ${kind} in ${quote(parent)}: ${why}`, {
      cause,
      hint,
    })
  }
}

/** What was left by processes that were killed. Never one whose process may live. */
async function removeDead(
  { parent, kind, beforeRemoval }: OwnedFolderRequest,
  context: RunContext,
): Promise<void> {
  const ownName = new RegExp(`^${kind}-[A-Za-z0-9]{6}$`)
  for (const name of (await readdir(parent)).filter((found) => ownName.test(found))) {
    const path = join(parent, name)
    if (!(await isDead(path, context))) continue
    await beforeRemoval?.(path)
    await removeFolder(path, kind, context)
    context.report({ kind: 'note', message: `removed the ${kind} ${quote(path)}, whose process is dead` })
  }
}

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

async function removeFolder(path: string, kind: string, { report }: RunContext): Promise<void> {
  try {
    // What still works in it may end a little later than whoever has told it to, and put a file here meanwhile.
    await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  } catch (error) {
    const message = `removing the ${kind} ${quote(path)} failed: ${String(error)}`
    report({ kind: 'warning', message, hint: 'Remove it by hand: nothing needs it.' })
  }
}
