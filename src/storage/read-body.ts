import { maxObjectSizeBytes } from './object-store.ts'
import { AnswerFault } from './answer-fault.ts'

/**
 * Exactly `length` bytes out of the body of an answer, alone in their buffer. A body that ends earlier or later is an
 * `AnswerFault`, also when the connection was closed in good order. Larger objects than there can be are not read.
 */
export async function readBody(body: unknown, length: number): Promise<Uint8Array<ArrayBuffer>> {
  if (!isReadable(body)) throw new AnswerFault('the store answered a read without a body')
  if (length > maxObjectSizeBytes) {
    body.destroy()
    return new Uint8Array(0)
  }
  try {
    return await collectBytes(body, length)
  } catch (cause) {
    // The SDK has no other name for it.
    if (!(cause instanceof Error && cause.message.startsWith('Checksum mismatch'))) throw cause
    throw new AnswerFault('the store sent other bytes than its checksum says', { cause })
  }
}

async function collectBytes(body: ReadableBody, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  let received = 0
  for await (const chunk of body) {
    if (received + chunk.length > length) throw cut(length, 'more')
    bytes.set(chunk, received)
    received += chunk.length
  }
  if (received < length) throw cut(length, String(received))
  return bytes
}

interface ReadableBody extends AsyncIterable<Uint8Array> {
  destroy(): void
}

function isReadable(body: unknown): body is ReadableBody {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body && 'destroy' in body
}

function cut(expected: number, found: string): AnswerFault {
  return new AnswerFault(`the store announced ${expected} bytes and sent ${found}`)
}
