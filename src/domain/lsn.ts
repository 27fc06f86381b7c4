import assert from 'node:assert/strict'
import type { Brand } from './brand.ts'
import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'

/** A byte position in the write-ahead log, 64 bits without sign. Compared with `<` and `>`; a sum is a plain bigint. */
export type Lsn = Brand<bigint, 'Lsn'>

/** The bytes from `from` up to, but not including, `to`. */
export interface LsnRange {
  readonly from: Lsn
  readonly to: Lsn
}

const greatestLsn = 0xffff_ffff_ffff_ffffn
const writtenLsn = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/

export function toLsn(value: bigint): Lsn {
  assert(isLsn(value), `${value} does not fit into an LSN`)
  return value
}

/** Reads `0/3000000` as PostgreSQL does (pg_lsn_in): nothing around it, one to eight hex digits on both sides. */
export function parseLsn(text: string): Lsn {
  const [, high, low] = writtenLsn.exec(text) ?? []
  if (high === undefined || low === undefined) {
    throw new OperationError('usage', `${quote(text)} is not an LSN`, {
      hint: 'Write it as PostgreSQL prints it, for example 0/3000000.',
    })
  }
  return toLsn((BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`))
}

/** As PostgreSQL 14 to 18 print it: upper case, without leading zeros. */
export function formatLsn(lsn: Lsn): string {
  return `${upperHex(lsn >> 32n)}/${upperHex(lsn & 0xffff_ffffn)}`
}

function isLsn(value: bigint): value is Lsn {
  return value >= 0n && value <= greatestLsn
}

function upperHex(value: bigint): string {
  return value.toString(16).toUpperCase()
}
