import { formatDuration } from '../domain/duration.ts'
import { damagedLabels, type VerifyState } from '../verify/verify-state.ts'
import type { CheckItem } from './check-item.ts'

const dayMs = 24 * 60 * 60 * 1000
/** Media lose bytes slowly and without a word: what was read a month ago is not known to be there. */
const mostProofAgeMs = 32 * dayMs

/** How much of what a repository holds is known to be whole. */
export function judgeVerified(state: VerifyState | undefined, nowMs: number): Omit<CheckItem, 'name'> {
  if (state === undefined)
    return { state: 'info', message: 'never verified', hint: 'Run "holdfast verify", and do so regularly.' }
  if (state.damage.length > 0) {
    const labels = [...damagedLabels(state)]
    const cost = labels.length === 0 ? 'no backup' : labels.join(', ')
    return {
      state: 'failed',
      message: `places with known damage: ${state.damage.length}; that costs ${cost}`,
      hint: 'Run "holdfast info" to see what is damaged; "holdfast verify" tells whether it still is. Take a new backup.',
    }
  }
  const oldestAtMs = oldestProof(state, nowMs)
  const age =
    oldestAtMs === undefined ? '' : `, the least recent part ${formatDuration(nowMs - oldestAtMs)} ago`
  const isOld = oldestAtMs !== undefined && nowMs - oldestAtMs > mostProofAgeMs
  const hint = 'Run "holdfast verify" regularly.'
  if (state.oldestProofAtMs === undefined || state.oldestProofAtMs > nowMs)
    return {
      state: isOld ? 'warning' : 'info',
      message: `not everything that is stored was verified yet${age}`,
      hint,
    }
  const message = `everything was verified${age}`
  return isOld ? { state: 'warning', message, hint } : { state: 'ok', message }
}

/** Of what was ever verified. A proof from the future, where a clock was wrong, says nothing. */
function oldestProof({ oldestProofAtMs, groups }: VerifyState, nowMs: number): number | undefined {
  const times = groups.map(({ provenAtMs }) => provenAtMs)
  const known = [...times, ...(oldestProofAtMs === undefined ? [] : [oldestProofAtMs])]
  return known.reduce<number | undefined>(
    (least, time) => (time <= nowMs && (least === undefined || time < least) ? time : least),
    undefined,
  )
}
