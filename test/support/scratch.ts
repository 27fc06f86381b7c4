import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { removeScratch } from './remove-scratch.ts'
import { isRoot, serverUser } from './server-user.ts'
import type { ServerUser } from './server-user.ts'

/**
 * A private folder for one test. It and every process that lives in it go away when it is disposed, and also when the
 * test process dies in any other way.
 */
export interface Scratch extends AsyncDisposable {
  /** Short enough for a Unix socket in it. Belongs to `user`. */
  readonly folder: string
  readonly user: ServerUser
  /** Makes a folder in it that belongs to `user`, mode 0700, and returns its path. */
  makeFolder(name: string): Promise<string>
}

/** What a Unix socket's path may be long (UNIXSOCK_PATH_BUFLEN), less the longest socket name that PostgreSQL makes. */
const longestSocketFolder = 107 - '/.s.PGSQL.65535.lock'.length

/** `name` only helps to recognise the folder. */
export async function createScratch(name: string): Promise<Scratch> {
  const prefix = `hf-${name.replaceAll(/[^a-z0-9-]/gi, '-').slice(0, 16)}-`
  const parent = tmpdir().length + prefix.length + 7 <= longestSocketFolder ? tmpdir() : '/tmp'
  const folder = await mkdtemp(join(parent, prefix))
  const guardian = startGuardian(folder)
  const user = serverUser()
  await give(folder, user)

  return {
    folder,
    user,
    makeFolder: async (child) => {
      const path = join(folder, child)
      await mkdir(path, { mode: 0o700 })
      await give(path, user)
      return path
    },
    [Symbol.asyncDispose]: async () => {
      await removeScratch(folder)
      await dismiss(guardian)
    },
  }
}

async function give(path: string, user: ServerUser): Promise<void> {
  if (isRoot()) await chown(path, user.uid, user.gid)
}

/** In a session of its own: the terminal's Ctrl-C and a kill of our process group pass it by. */
function startGuardian(folder: string): ChildProcess {
  const script = fileURLToPath(import.meta.resolve('./scratch-guardian.ts'))
  const guardian = spawn(process.execPath, [script], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { HOLDFAST_TEST_SCRATCH: folder },
  })
  guardian.unref()
  return guardian
}

async function dismiss(guardian: ChildProcess): Promise<void> {
  if (guardian.exitCode === null && guardian.signalCode === null) {
    guardian.ref()
    guardian.stdin?.end()
    await once(guardian, 'exit')
  }
  assert.equal(guardian.exitCode, 0, 'the guardian of a scratch folder failed')
}
