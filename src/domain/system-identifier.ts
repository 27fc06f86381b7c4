import assert from 'node:assert/strict'
import type { Brand } from './brand.ts'
import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'

/** What initdb gave a cluster to be told apart by: 64 bits without sign, in decimal (R71: no number holds it). */
export type SystemIdentifier = Brand<string, 'SystemIdentifier'>

const writtenIdentifier = /^(?:0|[1-9][0-9]{0,19})$/

/** Takes it out of a control file or a page header. */
export function toSystemIdentifier(value: bigint): SystemIdentifier {
  const text = value.toString()
  assert(isSystemIdentifier(text), `${value} does not fit into a system identifier`)
  return text
}

export function parseSystemIdentifier(text: string): SystemIdentifier {
  if (!isSystemIdentifier(text)) {
    throw new OperationError('usage', `${quote(text)} is not a system identifier`, {
      hint: 'Write the decimal number that pg_control_system() shows.',
    })
  }
  return text
}

function isSystemIdentifier(text: string): text is SystemIdentifier {
  return writtenIdentifier.test(text) && BigInt(text) <= 0xffff_ffff_ffff_ffffn
}
