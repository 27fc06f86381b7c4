import type { Configuration } from '../config/configuration-schema.ts'
import type { CommandEnvironment } from './command-environment.ts'

/** The path of a WAL file, after root has become the owner of the server that it belongs to. Others are who they are. */
export async function ownPath(
  path: string,
  configuration: Configuration,
  environment: CommandEnvironment,
): Promise<string> {
  if (process.geteuid?.() !== 0) return path
  // Only here: PostgreSQL starts the tool for every segment, and never as root.
  const { becomeArchiveOwner } = await import('./become-archive-owner.ts')
  return becomeArchiveOwner(path, configuration, environment)
}
