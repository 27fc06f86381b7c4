import { join } from 'node:path'
import type { Configuration } from '../config/configuration-schema.ts'
import { OperationError } from '../domain/operation-error.ts'

/** Where sandboxes are made, and the files of parallel dumps and loads. */
export async function sandboxParent(
  asked: string | undefined,
  configuration: Pick<Configuration, 'sandboxDirectory' | 'stateDirectory'>,
): Promise<string> {
  return asked ?? configuration.sandboxDirectory ?? (await usualParent(configuration))
}

async function usualParent({
  stateDirectory,
}: {
  readonly stateDirectory?: string | undefined
}): Promise<string> {
  const { findStateDirectories } = await import('../app/state-directory.ts')
  const [folder] = await findStateDirectories(stateDirectory)
  if (folder !== undefined) return join(folder, 'sandbox')
  throw new OperationError(
    'config-missing',
    'choosing where to restore to: expected a directory, found none that is ours',
    {
      hint: 'Name one with "--sandbox-directory", or with the setting "sandbox-directory".',
    },
  )
}
