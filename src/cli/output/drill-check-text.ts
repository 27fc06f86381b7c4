import type { DrillCheck } from '../../drill/drill-report.ts'
import { printable, type Style } from './text.ts'

/** How the outcome of a drill, or of one check of it, is shown: of one width. */
export const outcomeMarks = {
  passed: ['green', 'passed    '],
  failed: ['red', 'FAILED    '],
  'not-proven': ['yellow', 'not proven'],
} as const

/** One check of a drill, and what was found by it. */
export function drillCheckText({ name, state, message, findings }: DrillCheck<string>, style: Style): string {
  const [colour, mark] = outcomeMarks[state]
  const details = findings.map((finding) => `             ${printable(finding)}\n`).join('')
  return `${style(colour, mark)} ${name.padEnd(10)} ${printable(message)}\n${details}`
}
