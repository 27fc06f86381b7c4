import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'] as const
const writtenSize = /^(\d{1,16})(?:\.(\d{1,6}))? ?(?:([kmgtp])i?b|b)?$/i

/** Reads `64MB`, `1GiB` or plain bytes. As in PostgreSQL, every unit is a power of 1024: kB and KiB are the same. */
export function parseByteSize(text: string): number {
  const [, whole, fraction = '0', prefix = ''] = writtenSize.exec(text) ?? []
  const exponent = prefix === '' ? 0 : 'kmgtp'.indexOf(prefix.toLowerCase()) + 1
  const bytes = Math.round(Number(`${whole}.${fraction}`) * 1024 ** exponent)
  if (!Number.isSafeInteger(bytes)) {
    throw new OperationError('usage', `${quote(text)} is not a size`, {
      hint: 'Write a number and a unit, for example 64MB or 1.5GB; units are B, kB, MB, GB, TB and PB.',
    })
  }
  return bytes
}

/** For people: at most one digit after the point, in the unit that keeps the number below 1024. */
export function formatByteSize(bytes: number | bigint): string {
  let value = Number(bytes)
  let exponent = 0
  while (rounded(value) >= 1024 && exponent < units.length - 1) {
    value /= 1024
    exponent += 1
  }
  return `${rounded(value)} ${units[exponent]}`
}

function rounded(value: number): number {
  return value < 99.95 ? Math.round(value * 10) / 10 : Math.round(value)
}
