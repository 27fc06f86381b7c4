import assert from 'node:assert/strict'
import { largestRawLength } from '../codec/compression.ts'
import { openSingle, sealSingle, type ObjectKind } from '../codec/sealed-object.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Repository } from './open-repository.ts'

/** Names one object: what it is and where it is. Both are bound by its seal. */
export interface ObjectName {
  readonly kind: ObjectKind
  readonly key: string
}

const kibibyte = 1024
const mebibyte = 1024 * kibibyte

/** The most that objects of one frame hold: more was not written by us, and is refused before it is unpacked (X8). */
const largestPayloads: Partial<Record<ObjectKind, number>> = {
  cluster: 64 * kibibyte,
  lease: 64 * kibibyte,
  'history-file': mebibyte,
  'catalogue-entry': 16 * mebibyte,
  'dump-head': 32 * mebibyte,
}

/** What takes the place of its forerunner, and is deleted soon: nothing of value is lost with it, so no retention is spent on it. */
const shortLivedKinds: ReadonlySet<ObjectKind> = new Set(['lease', 'sweep-marks', 'verify-state'])

/** How much an object of one frame may hold. */
export const largestPayloadOf = (kind: ObjectKind): number => largestPayloads[kind] ?? largestRawLength

/** Seals `payload`, which must not be more than its kind may hold: nobody could read it. */
export function sealObject(repository: Repository, name: ObjectName, payload: Uint8Array): Uint8Array {
  assert.ok(payload.length <= largestPayloadOf(name.kind), `"${name.key}" would have ${payload.length} bytes`)
  return sealSingle(payload, { keys: repository.keys.sealing, ...name })
}

/** The payload of an object of one frame. Throws `damaged`, also when it is more than an object of this kind may hold. */
export function openObject(repository: Repository, name: ObjectName, sealed: Uint8Array): Uint8Array {
  return openSingle(sealed, { keys: repository.keys.sealing, ...name }, largestPayloadOf(name.kind))
}

/** Seals `payload` as an object of one frame and stores it, unless the key is taken. */
export async function writeObject(
  repository: Repository,
  { name, payload }: { readonly name: ObjectName; readonly payload: Uint8Array },
  context: RunContext,
): Promise<'created' | 'exists'> {
  const sealed = sealObject(repository, name, payload)
  return repository.store.putIfAbsent(name.key, sealed, {
    signal: context.signal,
    isShortLived: shortLivedKinds.has(name.kind),
  })
}

/** The payload of an object of one frame, or undefined when there is no such object. Throws `damaged`. */
export async function readObject(
  repository: Repository,
  name: ObjectName,
  context: RunContext,
): Promise<Uint8Array | undefined> {
  const sealed = await repository.store.get(name.key, undefined, context)
  return sealed && openObject(repository, name, sealed)
}
