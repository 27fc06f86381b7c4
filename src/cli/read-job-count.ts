import { InvalidArgumentError } from 'commander'

/** How many work at once. */
export function readJobCount(text: string): number {
  const count = /^\d{1,2}$/.test(text) ? Number(text) : 0
  if (count >= 1 && count <= 64) return count
  throw new InvalidArgumentError('Expected a whole number from 1 to 64.')
}
