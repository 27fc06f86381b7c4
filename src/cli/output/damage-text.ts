import { nounOf } from '../../domain/backup-label.ts'
import { formatLsn } from '../../domain/lsn.ts'
import { formatInstant, type Instant } from '../../domain/target-time.ts'
import type { Damage, LostMoments } from '../../verify/damage.ts'
import { formatAge, printable, type Style } from './text.ts'

/** A repository may be damaged all over: the document has everything, people are told enough to begin. */
const mostTold = 20

/** What people are told of the damage that verify found: each with what it costs. */
export function damageText(
  damage: readonly Damage[],
  { now, style }: { readonly now: number; readonly style: Style },
): string {
  const count = damage.length === 1 ? 'damage' : `${damage.length} damages`
  const lines: string[] = []
  for (const each of damage.slice(0, mostTold)) {
    lines.push(`- ${printable(each.problem)}`)
    for (const line of costLines(each)) lines.push(`  ${line}`)
    lines.push(`  found ${formatAge(now - each.foundAtMs)}`)
  }
  const more = damage.length - mostTold
  if (more > 0) lines.push(`and ${more} more; "--output json" has them all`)
  return [style('red', `${count} found`), ...lines].map((line) => `${line}\n`).join('')
}

function costLines({ backups, lost }: Damage): readonly string[] {
  if (backups.length === 0 && lost.length === 0) return ['costs no backup and no moment']
  const named = (['backup', 'dump'] as const).flatMap((noun) => {
    const labels = backups.filter((label) => nounOf(label) === noun)
    return labels.length === 0 ? [] : [`costs ${noun}${labels.length === 1 ? '' : 's'} ${labels.join(', ')}`]
  })
  return [...named, ...lost.map(momentsText)]
}

function momentsText({ timeline, fromLsn, fromTime, until }: LostMoments): string {
  const from = `costs moments on timeline ${timeline} from LSN ${formatLsn(fromLsn)} on, at some time after ${shortTime(fromTime)}`
  return until === undefined
    ? `${from}, to the end of the archive`
    : `${from}, until backup ${until.backup} ended at ${shortTime(until.time)}`
}

function shortTime(instant: Instant): string {
  return `${formatInstant(instant).slice(0, 19).replace('T', ' ')} UTC`
}
