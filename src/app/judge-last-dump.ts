import { formatDuration } from '../domain/duration.ts'
import type { DumpEntry } from '../repository/dump-entry.ts'
import { oldBackupMs, type Verdict } from './check-repository.ts'

/** How old the newest of the dumps is, which are listed oldest first: judged like the last backup. */
export function judgeLastDump(
  dumps: readonly Pick<DumpEntry, 'label' | 'stoppedAt'>[],
  now: number,
): Verdict {
  const last = dumps.at(-1)
  if (last === undefined) {
    return {
      state: 'warning',
      message: 'there is none',
      hint: 'Take the first one with "holdfast dump --all".',
    }
  }
  const ageMs = now - Number(last.stoppedAt / 1000n)
  const message = `${last.label}, ${formatDuration(ageMs)} old`
  if (ageMs > oldBackupMs) return { state: 'warning', message, hint: 'Take one with "holdfast dump --all".' }
  return { state: 'ok', message }
}
