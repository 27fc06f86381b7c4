import { createObjectSealer, openSealedObject, type ObjectIdentity } from '../codec/sealed-object.ts'

/**
 * The same object for another repository, or under another key: frame by frame, as it was compressed. Each frame is opened by
 * its seal. Throws `damaged`.
 */
export function resealObject(
  sealed: Uint8Array,
  from: ObjectIdentity,
  to: Omit<ObjectIdentity, 'kind'>,
): Uint8Array {
  const sealer = createObjectSealer({ ...to, kind: from.kind })
  const parts: Uint8Array[] = [sealer.header]
  const payloads = openSealedObject(sealed, from)
  for (let frame = payloads.next(); frame.done !== true;) {
    const following = payloads.next()
    parts.push(...sealer.sealFrame([frame.value], following.done === true))
    frame = following
  }
  return Buffer.concat(parts)
}
