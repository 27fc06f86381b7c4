import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { getFile } from '../../src/archive/get-file.ts'
import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import { parseBackupLabel } from '../../src/domain/backup-label.ts'
import { isOperationError, type OperationError } from '../../src/domain/operation-error.ts'
import type { RecoveryTarget } from '../../src/domain/recovery-target.ts'
import { toTimelineId } from '../../src/domain/timeline.ts'
import { requireCluster } from '../../src/repository/cluster-record.ts'
import { openRepository } from '../../src/repository/open-repository.ts'
import { prepareRestore, runRestore, type RestoreTools } from '../../src/restore/run-restore.ts'
import { recordingContext } from '../support/archive-fixture.ts'
import { newerBackup, olderBackup, siteUnlocker, storeOf } from './damaged-site.ts'
import type { Objects } from './damages.ts'

/** What came of it: the same as from the undamaged repository (by its digest), a refusal, or "there is none". */
export type Outcome =
  | { readonly kind: 'done'; readonly digest: string }
  | { readonly kind: 'refused'; readonly error: OperationError }
  | { readonly kind: 'absent' }

/** Looks at a repository in one way. Whatever is thrown that is no `OperationError` is a bug and passes through. */
export type Probe = (objects: Objects, folder: string) => Promise<Outcome>

const atBackup: RecoveryTarget = { kind: 'immediate', timeline: 'current', action: 'promote' }
const onSecondTimeline: RecoveryTarget = { kind: 'immediate', timeline: toTimelineId(2), action: 'promote' }

export const probes = {
  'restore of the newer backup': (objects, folder) =>
    restore(objects, { folder, label: newerBackup, target: atBackup }),
  'restore of the older backup': (objects, folder) =>
    restore(objects, { folder, label: olderBackup, target: atBackup }),
  'restore along the second timeline': (objects, folder) =>
    restore(objects, { folder, label: newerBackup, target: onSecondTimeline }),
  'archive-get of the segment': (objects, folder) => fetch(objects, folder, '000000010000000000000004'),
  'archive-get of the history': (objects, folder) => fetch(objects, folder, '00000002.history'),
} as const satisfies Record<string, Probe>

export type ProbeName = keyof typeof probes

interface Restore {
  readonly folder: string
  readonly label: string
  readonly target: RecoveryTarget
}

function restore(objects: Objects, { folder, label, target }: Restore): Promise<Outcome> {
  return outcomeOf(async () => {
    const targetDirectory = join(folder, 'restored')
    await rm(targetDirectory, { recursive: true, force: true })
    const context = recordingContext()
    const request = {
      targetDirectory,
      backup: parseBackupLabel(label),
      target,
      isDelta: false,
      tablespaceMap: [],
      isFilesOnly: true,
      continuesLineage: false,
    }
    try {
      const tools = toolsFor(await open(objects))
      await runRestore(await prepareRestore(request, tools, context), tools, context)
    } catch (error) {
      // Nothing that could be started, whatever was written before the damage was found (invariant 5).
      assert.ok(!existsSync(join(targetDirectory, 'global/pg_control')), 'a control file was left')
      throw error
    }
    return { kind: 'done', digest: await digestOfTree(targetDirectory) }
  })
}

function toolsFor(place: ArchivePlace): RestoreTools {
  return {
    place,
    workers: 1,
    restoreCommand: () => 'false',
    binaries: { searchPath: '' },
    roles: ['postgres'],
    forbidden: { repository: undefined, home: undefined },
  }
}

function fetch(objects: Objects, folder: string, name: string): Promise<Outcome> {
  const destination = join(folder, 'RECOVERYXLOG')
  return outcomeOf(async () => {
    await rm(destination, { force: true })
    try {
      const tools = { repositories: [await open(objects)] }
      const { kind } = await getFile({ name, destination }, tools, recordingContext())
      return kind === 'absent' ? { kind } : { kind: 'done', digest: digestOf(await readFile(destination)) }
    } catch (error) {
      assert.ok(!existsSync(destination), `${name} was left where PostgreSQL looks for it`)
      throw error
    }
  })
}

async function open(objects: Objects): Promise<ArchivePlace> {
  const context = recordingContext()
  const repository = await openRepository(await storeOf(objects), { unlocker: siteUnlocker }, context)
  return { repository, cluster: await requireCluster(repository, 'main', context) }
}

async function outcomeOf(look: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await look()
  } catch (error) {
    if (isOperationError(error)) return { kind: 'refused', error }
    throw error
  }
}

/** Of every file of a tree: its name and its content. */
async function digestOfTree(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const parts: string[] = []
  for (const path of paths.toSorted()) parts.push(path.slice(folder.length), digestOf(await readFile(path)))
  return digestOf(Buffer.from(parts.join('\n')))
}

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
