import { dumpFrameBytes } from './dump-head.ts'

/** A member of up to so many bytes needs no memory for a whole part. */
const shortBytes = dumpFrameBytes

/** The bytes of a part of a member. */
export interface CutPart {
  readonly raw: Uint8Array
  /** It is all of the member, and lies in memory of its own. Else it lies in a buffer that was taken, at its beginning. */
  readonly isShort: boolean
}

interface Cutting {
  /** Gives the memory of a whole part. */
  readonly takeBuffer: () => Uint8Array
  readonly signal: AbortSignal
}

/** Cuts the bytes of a member into parts, each as long as a buffer is but for the last one. */
export async function* cutIntoParts(
  chunks: AsyncIterable<Uint8Array>,
  { takeBuffer, signal }: Cutting,
): AsyncGenerator<CutPart, void> {
  let buffer: Uint8Array = Buffer.allocUnsafeSlow(shortBytes)
  let filled = 0
  for await (const chunk of chunks) {
    signal.throwIfAborted()
    for (let rest = chunk; rest.length > 0;) {
      if (filled === buffer.length && filled > shortBytes) {
        yield { raw: buffer, isShort: false }
        buffer = takeBuffer()
        filled = 0
      } else if (filled === buffer.length) {
        const first = buffer
        buffer = takeBuffer()
        buffer.set(first)
      }
      const taken = rest.subarray(0, buffer.length - filled)
      buffer.set(taken, filled)
      filled += taken.length
      rest = rest.subarray(taken.length)
    }
  }
  if (filled > 0) yield { raw: buffer.subarray(0, filled), isShort: buffer.length === shortBytes }
}
