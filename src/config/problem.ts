/** One thing that is wrong with the configuration. */
export interface Problem {
  /** `FILE:LINE:COL` or `environment variable NAME`. */
  readonly place: string
  /** The setting, such as `backup.workers`; empty when the problem is with the file as a whole. */
  readonly path: string
  readonly expected: string
  readonly found: string
  readonly hint?: string | undefined
}

/** More than an operator wants to read at once, and a bound for files that are something else entirely. */
const mostProblems = 20

/** One line for each problem, in the order of the places, at most twenty and then how many more there are. */
export function describeProblems(problems: readonly Problem[]): string {
  const lines = problems.slice(0, mostProblems).map(describeProblem)
  const rest = problems.length - lines.length
  return (rest > 0 ? [...lines, `and ${rest} more problem${rest === 1 ? '' : 's'}`] : lines).join('\n')
}

function describeProblem({ place, path, expected, found, hint }: Problem): string {
  const where = path === '' ? `${place}:` : `${place} ${path}:`
  return `${where} expected ${expected}, found ${found}${hint === undefined ? '' : ` (${hint})`}`
}
