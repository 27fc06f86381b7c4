import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'

const secondMs = 1000
const minuteMs = 60 * secondMs
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

const writtenDuration =
  /^(?:(\d{1,6}) ?(?:w|weeks?))? ?(?:(\d{1,6}) ?(?:d|days?))? ?(?:(\d{1,6}) ?h)? ?(?:(\d{1,6}) ?(?:m|min))? ?(?:(\d{1,9}) ?s)? ?(?:(\d{1,12}) ?ms)?$/

const partMs = [7 * dayMs, dayMs, hourMs, minuteMs, secondMs, 1] as const

/** Reads `14d`, `90s` or `1h30m` as milliseconds: from the greatest unit to the smallest, each once. */
export function parseDurationMs(text: string): number {
  const parts = writtenDuration.exec(text)?.slice(1) ?? []
  if (!/^\d.*\w$/.test(text) || parts.length === 0) {
    throw new OperationError('usage', `${quote(text)} is not a duration`, {
      hint: 'Write numbers with units, for example 14d, 90s or 1h30m; units are w, d, h, m, s and ms.',
    })
  }
  return partMs.reduce((total, unitMs, index) => total + Number(parts[index] ?? 0) * unitMs, 0)
}

/** For people: the two greatest units that matter, rounded down, as `2 h 5 min`. A negative duration shows as none. */
export function formatDuration(durationMs: number): string {
  const parts = [
    [Math.floor(durationMs / dayMs), 'days'],
    [Math.floor(durationMs / hourMs) % 24, 'h'],
    [Math.floor(durationMs / minuteMs) % 60, 'min'],
    [Math.floor(durationMs / secondMs) % 60, 's'],
    [Math.floor(durationMs) % 1000, 'ms'],
  ] as const
  const first = parts.findIndex(([count]) => count > 0)
  if (durationMs <= 0 || first === -1) return '0 s'
  const shown = parts
    .slice(first, first + 2)
    .filter(([count, unit]) => count > 0 && (unit !== 'ms' || first === 4))
  return shown.map(([count, unit]) => `${count} ${count === 1 && unit === 'days' ? 'day' : unit}`).join(' ')
}
