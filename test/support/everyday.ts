import { supportedMajors, type Major } from './server-binaries.ts'

/** Whether everything is tested, or what is enough every day. */
export const isComplete = process.env['HOLDFAST_COMPLETE'] === 'yes'

/** The oldest and the newest supported version, or all of them. */
export const everydayMajors: readonly Major[] = supportedMajors.filter(
  (_, index, { length }) => isComplete || index === 0 || index === length - 1,
)
