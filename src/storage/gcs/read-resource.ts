import { crc32c } from '../../platform/crc32c.ts'
import { AnswerFault } from '../answer-fault.ts'
import type { Page } from '../list-objects.ts'
import { isObject } from './store-refusal.ts'

/** What the store keeps beside the bytes of an object: by it a call knows again what it has stored itself. */
export const tokenName = 'holdfast-put'

import type { FoundObject } from '../request-store.ts'

type Json = Readonly<Record<string, unknown>>

/** The attributes out of an object's resource. `name`: whose it must be. */
export function toFoundObject(resource: Json, name: string): FoundObject {
  if (resource['name'] !== name) throw new AnswerFault('the store answered about another object')
  const metadata = resource['metadata']
  const token = isObject(metadata) ? metadata[tokenName] : undefined
  return {
    sizeBytes: sizeOf(resource),
    modifiedAtMs: createdAtMs(resource),
    token: typeof token === 'string' ? token : undefined,
  }
}

/** Throws `AnswerFault` unless the store says that it has stored just these bytes, by size and CRC-32C. */
export function checkStored(resource: Json, { name, bytes }: { name: string; bytes: Uint8Array }): void {
  if (resource['name'] !== name || typeof resource['crc32c'] !== 'string') {
    throw new AnswerFault('the store answered a write without saying what it has stored')
  }
  if (sizeOf(resource) !== bytes.length || resource['crc32c'] !== formatCrc32c(bytes)) {
    throw new AnswerFault('the store has stored other bytes than were sent')
  }
}

/** In base 64, the highest byte first, as the store writes it. */
export function formatCrc32c(bytes: Uint8Array): string {
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32c(bytes))
  return checksum.toString('base64')
}

/** One page of a listing of what begins with `asked`; keys are what follows `keyPrefix`. */
export function toPage(answer: Json, asked: string, keyPrefix: string): Page {
  const { kind, items = [], nextPageToken: next } = answer
  if (kind !== 'storage#objects' || !Array.isArray(items)) {
    throw new AnswerFault('the store answered a listing with something else')
  }
  if (next !== undefined && (typeof next !== 'string' || next === '')) {
    throw new AnswerFault('the store cut a listing without saying where it goes on')
  }
  const objects = items.map((resource: unknown) => {
    const name = isObject(resource) ? resource['name'] : undefined
    if (!isObject(resource) || typeof name !== 'string' || !name.startsWith(asked)) {
      throw new AnswerFault('the store listed something that was not asked for')
    }
    return {
      key: name.slice(keyPrefix.length),
      sizeBytes: sizeOf(resource),
      modifiedAtMs: createdAtMs(resource),
    }
  })
  return { objects, next }
}

/** Sizes are 64-bit numbers, in text. */
function sizeOf({ size }: Json): number {
  if (typeof size === 'string' && /^\d{1,15}$/.test(size)) return Number(size)
  throw new AnswerFault('the store did not say how large an object is')
}

/** Not `updated`, which changes with what is said about the object. */
function createdAtMs({ timeCreated }: Json): number {
  const time = typeof timeCreated === 'string' ? Date.parse(timeCreated) : NaN
  if (Number.isFinite(time)) return time
  throw new AnswerFault('the store did not say when an object was stored')
}
