import type { Command } from 'commander'
import type { PinDocument } from '../../api/retention-document.ts'
import type { PinnedBackup } from '../../app/pin-backup.ts'
import { parseBackupLabel } from '../../domain/backup-label.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'

/** `pin`: keeps a backup whatever the rules say. */
export function registerPin(program: Command, environment: CommandEnvironment): void {
  program
    .command('pin')
    .description('keep a backup whatever the keep rules say')
    .argument('<label>', 'the backup')
    .action((label: string) => setPin({ label, isPinned: true }, environment))
}

export async function setPin(
  { label, isPinned }: { readonly label: string; readonly isPinned: boolean },
  environment: CommandEnvironment,
): Promise<void> {
  parseBackupLabel(label)
  const { configuration } = await loadAsOwner(environment)
  const [{ pinBackup }, { listBackup }] = await Promise.all([
    import('../../app/pin-backup.ts'),
    import('../../app/list-backup.ts'),
  ])
  const { cluster: clusterName, repo: repoName } = environment.options
  const request = { configuration, clusterName, repoName, label, isPinned }
  const pinned = await pinBackup(request, environment.context)
  const { cluster, repos, backup } = pinned
  const document: PinDocument = { version: 1, cluster, repos, backup: listBackup(backup) }
  environment.answer({ document, text: () => pinText(pinned) })
}

function pinText({ repos, backup }: PinnedBackup): string {
  const state = backup.isPinned ? 'pinned' : 'not pinned'
  return repos
    .map(
      ({ name, changed }) =>
        `backup ${backup.label} is ${state}${changed ? '' : ' already'} in repo ${name}\n`,
    )
    .join('')
}
