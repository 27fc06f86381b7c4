import type { ExpiredDumps } from '../../app/expire-dumps.ts'
import type { BackupLabel } from '../../domain/backup-label.ts'
import { formatInstant } from '../../domain/target-time.ts'
import { databasesText } from './dump-text.ts'
import { formatTable } from './table.ts'
import type { Style } from './text.ts'

const columns = [
  { title: 'label' },
  { title: 'ended' },
  { title: 'databases' },
  { title: 'decision' },
  { title: 'why' },
] as const

/** Which dumps stay and which go; nothing where there is none. */
export function expiredDumpsText(
  expired: ExpiredDumps,
  { cluster, style }: { readonly cluster: string; readonly style: Style },
): string {
  const { listed, plan, removed } = expired
  if (listed.length === 0) return ''
  const going = (removed ?? plan.remove).length
  const verb = removed === undefined ? 'would be removed' : 'removed'
  return [
    `dumps: ${listed.length - going} kept, ${going === 0 ? 'none expires' : `${going} ${verb}`}\n`,
    plan.hasRules
      ? ''
      : 'no keep rule for dumps is set: set some at "dumps:" below "keep:" in the configuration\n',
    formatTable(columns, rowsOf(expired), style),
    plan.clockDoubt === undefined ? '' : style('yellow', `a clock seems to be wrong: ${plan.clockDoubt}\n`),
    plan.isDrastic && removed === undefined
      ? style('yellow', `half or more of the dumps would go: needs "--confirm ${cluster}"\n`)
      : '',
  ].join('')
}

function rowsOf({ listed, plan, removed }: ExpiredDumps): readonly (readonly string[])[] {
  const decisions = new Map<BackupLabel, readonly [decision: string, why: string]>([
    ...plan.keep.map(({ label, reasons }) => [label, ['keep', reasons.join('; ')]] as const),
    ...plan.remove.map(({ label, reason }) => {
      if (removed?.includes(label) === false)
        return [label, ['keep', 'the catalogue was changed meanwhile']] as const
      return [label, [removed === undefined ? 'remove' : 'removed', reason]] as const
    }),
  ])
  return listed.map((dump) => [
    dump.label,
    `${formatInstant(dump.stoppedAt).slice(0, 19).replace('T', ' ')} UTC`,
    databasesText(dump),
    ...(decisions.get(dump.label) ?? []),
  ])
}
