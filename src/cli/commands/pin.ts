import type { Command } from 'commander'
import type { PinDumpDocument } from '../../api/dump-document.ts'
import type { PinDocument } from '../../api/retention-document.ts'
import type { PinnedBackup, PinnedDump } from '../../app/pin-backup.ts'
import { labelKind, nounOf, parseBackupLabel } from '../../domain/backup-label.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'

/** `pin`: keeps a backup or a dump whatever the rules say. */
export function registerPin(program: Command, environment: CommandEnvironment): void {
  program
    .command('pin')
    .description('keep a backup or a dump whatever the keep rules say')
    .argument('<label>', 'the backup or dump')
    .action((label: string) => setPin({ label, isPinned: true }, environment))
}

export async function setPin(
  { label, isPinned }: { readonly label: string; readonly isPinned: boolean },
  environment: CommandEnvironment,
): Promise<void> {
  const kind = labelKind(parseBackupLabel(label))
  const { configuration } = await loadAsOwner(environment)
  const [{ pinBackup, pinDump }, { listBackup }, { listDump }] = await Promise.all([
    import('../../app/pin-backup.ts'),
    import('../../app/list-backup.ts'),
    import('../../app/list-dump.ts'),
  ])
  const { cluster: clusterName, repo: repoName } = environment.options
  const request = { configuration, clusterName, repoName, label, isPinned }
  if (kind === 'dump') {
    const pinned = await pinDump(request, environment.context)
    const { cluster, repos, listed } = pinned
    const document: PinDumpDocument = { version: 1, cluster, repos, dump: listDump(listed) }
    environment.answer({ document, text: () => pinText(pinned) })
    return
  }
  const pinned = await pinBackup(request, environment.context)
  const { cluster, repos, listed } = pinned
  const document: PinDocument = { version: 1, cluster, repos, backup: listBackup(listed) }
  environment.answer({ document, text: () => pinText(pinned) })
}

function pinText({ repos, listed }: PinnedBackup | PinnedDump): string {
  const state = listed.isPinned ? 'pinned' : 'not pinned'
  return repos
    .map(
      ({ name, changed }) =>
        `${nounOf(listed.label)} ${listed.label} is ${state}${changed ? '' : ' already'} in repo ${name}\n`,
    )
    .join('')
}
