import type { DeleteDumpDocument } from '../api/dump-document.ts'
import { deleteDump, type PlannedDumpDelete } from '../app/delete-dump.ts'
import { listDump } from '../app/list-dump.ts'
import type { BackupLabel } from '../domain/backup-label.ts'
import { formatByteSize } from '../domain/byte-size.ts'
import { loadAsOwner } from './become-owner.ts'
import type { CommandEnvironment } from './command-environment.ts'
import { confirmName } from './confirm-name.ts'
import { printable } from './output/text.ts'

interface Doomed {
  readonly label: BackupLabel
  /** The name of the cluster, as it was given. */
  readonly confirm: string | undefined
  readonly isDryRun: boolean
}

/** `delete` with the label of a dump. */
export async function runDeleteDump(
  { label, confirm, isDryRun }: Doomed,
  environment: CommandEnvironment,
): Promise<void> {
  const { configuration } = await loadAsOwner(environment)
  const { cluster: clusterName, repo: repoName } = environment.options
  const confirmIt = (plan: PlannedDumpDelete): Promise<void> => {
    const doing = `deleting dump ${label} of cluster "${plan.cluster}"`
    const warning = planText(plan, true)
    return confirmName({ doing, warning, expected: plan.cluster, given: confirm }, environment)
  }
  const request = { configuration, clusterName, repoName, label, isDryRun, confirm: confirmIt }
  const planned = await deleteDump(request, environment.context)
  const { dump, ...place } = planned
  const document: DeleteDumpDocument = { version: 1, ...place, dryRun: isDryRun, dump: listDump(dump) }
  environment.answer({ document, text: () => planText(planned, isDryRun) })
}

function planText({ cluster, repo, location, dump }: PlannedDumpDelete, isPlan: boolean): string {
  const done = isPlan ? 'would delete' : 'deleted'
  const lines = [
    `${done} dump ${dump.label} of cluster ${cluster} from repo ${repo} (${printable(location)}), ${formatByteSize(dump.storedBytes)}`,
    ...(isPlan ? [] : ['its data stays for 24 hours; then "holdfast expire" deletes it']),
  ]
  return lines.map((line) => `${line}\n`).join('')
}
