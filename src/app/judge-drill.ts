import { formatDuration } from '../domain/duration.ts'
import type { DrillReport } from '../drill/drill-report.ts'
import type { CheckItem } from './check-item.ts'

const dayMs = 86_400_000
/** What was proved so long ago proves little about what is stored now. */
const staleAfterMs = 31 * dayMs

const hint = 'Run "holdfast drill", and do so regularly.'

/** What the last restore that was tried says about the next one. */
export function judgeDrill(report: DrillReport | undefined, now: number): Omit<CheckItem, 'name'> {
  if (report === undefined) return { state: 'info', message: 'no restore was ever tried', hint }
  const ageMs = Math.max(0, now - report.beganAtMs)
  const when = ageMs < dayMs ? 'less than a day ago' : `${Math.floor(ageMs / dayMs)} d ago`
  const took = formatDuration(report.filesMs + report.recoveryMs)
  if (report.outcome !== 'passed') return { ...judgeUnpassed(report, when), hint }
  const message = `passed ${when}; restored and recovered in ${took}`
  return ageMs > staleAfterMs ? { state: 'warning', message, hint } : { state: 'ok', message }
}

function judgeUnpassed({ outcome, checks }: DrillReport, when: string): Omit<CheckItem, 'name'> {
  const reason = checks.find(({ state }) => state === outcome)
  const why = reason === undefined ? 'it has checked nothing' : `${reason.name}: ${reason.message}`
  return outcome === 'failed'
    ? { state: 'failed', message: `failed ${when}: ${why}` }
    : { state: 'warning', message: `not proven ${when}: ${why}` }
}
