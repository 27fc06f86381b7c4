/** Which backups, or dumps, are kept: the union of what each rule asks for. Counts are of usable ones. */
export interface KeepRules {
  /** The newest so many. */
  readonly count?: number | undefined
  /** Milliseconds: every moment of the last so many stays reachable; of dumps, all that ended since then stay. */
  readonly window?: number | undefined
  /** The newest of each of the last so many days, weeks, months, years in which there is one; in UTC. */
  readonly daily?: number | undefined
  readonly weekly?: number | undefined
  readonly monthly?: number | undefined
  readonly yearly?: number | undefined
  /** Never fewer than this, whatever the other rules say. */
  readonly minimum: number
}

/** Nothing expires. */
export const noRules: KeepRules = { minimum: 1 }

export const periods = ['daily', 'weekly', 'monthly', 'yearly'] as const

export type Period = (typeof periods)[number]

/** False: nothing ever expires. A floor alone removes nothing. */
export function hasRules({ count, window, ...rules }: KeepRules): boolean {
  return [count, window, ...periods.map((period) => rules[period])].some((rule) => rule !== undefined)
}
