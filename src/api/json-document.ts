/**
 * What `--output json` prints. `version` grows when a field changes its meaning or goes away; new fields do not change it.
 * Positions, system identifiers, transaction ids and times are strings.
 */
export interface JsonDocument {
  readonly version: number
}
