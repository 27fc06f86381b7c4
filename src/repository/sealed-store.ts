import { openSingle, sealSingle, type ObjectKind } from '../codec/sealed-object.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { Repository } from './open-repository.ts'

/** Names one object: what it is and where it is. Both are bound by its seal. */
export interface ObjectName {
  readonly kind: ObjectKind
  readonly key: string
}

/** Seals `payload` as an object of one frame and stores it, unless the key is taken. */
export async function writeObject(
  repository: Repository,
  { name, payload }: { readonly name: ObjectName; readonly payload: Uint8Array },
  context: RunContext,
): Promise<'created' | 'exists'> {
  const sealed = sealSingle(payload, { keys: repository.keys.sealing, ...name })
  return repository.store.putIfAbsent(name.key, sealed, context)
}

/** The payload of an object of one frame, or undefined when there is no such object. Throws `damaged`. */
export async function readObject(
  repository: Repository,
  name: ObjectName,
  context: RunContext,
): Promise<Uint8Array | undefined> {
  const sealed = await repository.store.get(name.key, undefined, context)
  return sealed && openSingle(sealed, { keys: repository.keys.sealing, ...name })
}
