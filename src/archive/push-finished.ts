import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import type { ArchivePlace } from './archive-place.ts'
import { pushFile, sealHere, type PushTools } from './push-file.ts'

interface FinishedSegment {
  /** The server's pg_wal. */
  readonly walFolder: string
  readonly fileName: string
  /** As for `pushFile`. */
  readonly seal?: NonNullable<PushTools['seal']>
}

/**
 * Archives a segment that the server has finished and its archiver has not, without waiting for the archiver: true when it
 * is archived now. Anybody may push a segment, and whoever comes second finds it there. False when the server has not
 * finished it, or its archiver has; also when it cannot be pushed, which is reported: the archiver has it to do anyway.
 */
export async function pushFinished(
  { walFolder, fileName, seal = sealHere }: FinishedSegment,
  place: ArchivePlace,
  context: RunContext,
): Promise<boolean> {
  const isWaiting = (): Promise<boolean> => exists(join(walFolder, 'archive_status', `${fileName}.ready`))
  const sealUnused: PushTools['seal'] = async (request, signal) => {
    const sealed = await seal(request, signal)
    // It would be read later, in parts.
    if (sealed.kind === 'large') throw new OperationError('busy', `${fileName} is too large`)
    // Once its archiver is done the server may write other WAL into the file: what was read is good if that is not so yet.
    if (!(await isWaiting())) throw archivedMeanwhile(fileName)
    return sealed
  }
  try {
    if (!(await isWaiting())) return false
    await pushFile({ path: join(walFolder, fileName) }, { repositories: [place], seal: sealUnused }, context)
    return true
  } catch (error) {
    context.signal.throwIfAborted()
    const why = error instanceof Error ? error.message : String(error)
    context.report({ kind: 'note', message: `waiting for the archiver to archive ${fileName}: ${why}` })
    return false
  }
}

function archivedMeanwhile(fileName: string): OperationError {
  return new OperationError('busy', `the archiver has archived ${fileName} while it was read`)
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return false
    throw error
  }
}
