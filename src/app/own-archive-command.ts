import { fileURLToPath } from 'node:url'
import { renderArchiveCommand } from '../archive/archive-command.ts'

/** bin/holdfast, where this very program lies. */
export const programPath = fileURLToPath(new URL('../../bin/holdfast', import.meta.url))

/** The archive_command that starts this very program, with this Node and that configuration. */
export function ownArchiveCommand(of: { readonly configFile: string; readonly cluster: string }): string {
  return renderArchiveCommand({ nodePath: process.execPath, programPath, ...of })
}
