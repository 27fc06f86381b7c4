import assert from 'node:assert/strict'
import { lstat, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ArchivePlace } from '../../src/archive/archive-place.ts'
import { pushFile } from '../../src/archive/push-file.ts'
import { parseBackupLabel } from '../../src/domain/backup-label.ts'
import { isOperationError, type OperationError } from '../../src/domain/operation-error.ts'
import { prepareRestore, runRestore } from '../../src/restore/run-restore.ts'
import {
  buildSegment,
  createPlace,
  recordingContext,
  temporaryFolder,
  testSystemIdentifier,
} from '../support/archive-fixture.ts'
import { leastFiles, storeSyntheticBackup, type SyntheticBackup } from '../corruption/synthetic-backup.ts'

const label = '20260220-153000F'

/** What a hostile backup adds to the files that every backup has. */
export interface Hostility extends Partial<Omit<SyntheticBackup, 'label'>> {
  readonly isSealed?: boolean
}

export interface HostileSite extends AsyncDisposable {
  /** Holds `target`, which is restored into, and `victim`, which nothing may touch. */
  readonly folder: string
  readonly target: string
  readonly victim: string
  readonly warnings: readonly string[]
  /** Undefined: it was restored. Whatever is thrown that is no `OperationError` passes through. */
  restore(hostility: Hostility): Promise<OperationError | undefined>
}

/**
 * A place to restore hostile backups in. Whatever comes of it, only `target` may have been written to: that is checked
 * after every restore.
 */
export async function hostileSite(): Promise<HostileSite> {
  const temporary = await temporaryFolder()
  const folder = temporary.path
  const [target, victim] = [join(folder, 'target'), join(folder, 'victim')]
  await mkdir(victim)
  await writeFile(join(victim, 'precious'), 'precious')
  const before = await treeOf(folder, target)
  const warnings: string[] = []
  return {
    folder,
    target,
    victim,
    warnings,
    restore: async (hostility) => {
      const place = await placeWith(hostility)
      const error = await tryToRestore(place, target, warnings)
      assert.deepEqual(await treeOf(folder, target), before, 'something outside the target was changed')
      return error
    },
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  }
}

async function placeWith({ isSealed = true, ...hostility }: Hostility): Promise<ArchivePlace> {
  const place = await createPlace({ isSealed })
  const least = leastFiles(testSystemIdentifier)
  await storeSyntheticBackup(place, {
    label,
    segment: 2,
    segmentBytes: 1024 * 1024,
    ...hostility,
    files: [...least.files, ...(hostility.files ?? [])],
    entries: [...least.entries, ...(hostility.entries ?? [])],
  })
  await using folder = await temporaryFolder()
  const name = '000000010000000000000002'
  await writeFile(join(folder.path, name), buildSegment(name))
  await pushFile({ path: join(folder.path, name) }, { repositories: [place] }, recordingContext())
  return place
}

async function tryToRestore(
  place: ArchivePlace,
  targetDirectory: string,
  warnings: string[],
): Promise<OperationError | undefined> {
  const context = recordingContext()
  const request = {
    targetDirectory,
    backup: parseBackupLabel(label),
    target: { kind: 'immediate', action: 'promote' },
    isDelta: false,
    tablespaceMap: [],
    isFilesOnly: true,
    continuesLineage: false,
  } as const
  const tools = {
    place,
    workers: 1,
    restoreCommand: () => 'false',
    binaries: { searchPath: '' },
    roles: ['postgres'],
    forbidden: { repository: undefined, home: undefined },
  }
  try {
    await runRestore(await prepareRestore(request, tools, context), tools, context)
    return undefined
  } catch (error) {
    if (isOperationError(error)) return error
    throw error
  } finally {
    warnings.push(...context.events.flatMap((event) => (event.kind === 'warning' ? [event.message] : [])))
  }
}

/** Every name below a folder but for one, with what it is. */
async function treeOf(folder: string, left: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (path === left) continue
    const { mode } = await lstat(path)
    found.push(`${path} ${mode.toString(8)}`)
    if (entry.isDirectory()) found.push(...(await treeOf(path, left)))
    else found.push(entry.isSymbolicLink() ? await readlink(path) : await readFile(path, 'utf8'))
  }
  return found
}
