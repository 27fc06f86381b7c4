import { crc32c } from '../../platform/crc32c.ts'
import { AnswerFault } from '../answer-fault.ts'
import type { HttpAnswer } from './http-client.ts'

export interface AskedRange {
  readonly offset: number
  readonly length: number
}

/** How long an answer is, and of how large an object. */
export interface Part {
  readonly length: number
  readonly sizeBytes: number
}

/** Throws `AnswerFault` unless the answer is exactly the part that was asked for, or all of it that there is. */
export function checkPart({ status, headers }: HttpAnswer, range: AskedRange | undefined): Part {
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw new AnswerFault('the store was asked for bytes as they are and encoded them')
  }
  const length = lengthOf(headers)
  const told = headers['content-range']
  if (range !== undefined) return { length, sizeBytes: sizeToldBeside(range, { status, told, length }) }
  if (status === 200 && told === undefined) return { length, sizeBytes: length }
  throw new AnswerFault('the store was asked for a whole object and answered with a part of it')
}

interface ToldPart {
  readonly status: number
  /** The header `content-range`. */
  readonly told: string | undefined
  readonly length: number
}

/** How many bytes the whole object has. */
function sizeToldBeside({ offset, length: asked }: AskedRange, { status, told, length }: ToldPart): number {
  const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(told ?? '') ?? []
  const end = Math.min(offset + asked, Number(size))
  const isAsked = status === 206 && Number(first) === offset && Number(last) === end - 1
  if (isAsked && length === end - offset) return Number(size)
  throw new AnswerFault(`the store was asked for ${asked} bytes from ${offset} on and answered with others`)
}

/** The checksum is of the whole object, also when a part of it is read. Throws `AnswerFault` when it is of other bytes. */
export function checkWhole(bytes: Uint8Array, { headers }: HttpAnswer): void {
  const told = /(?:^|,)\s*crc32c=([\w+/]{6}==)/.exec(headers['x-goog-hash'] ?? '')?.[1]
  if (told === undefined || Buffer.from(told, 'base64').readUInt32BE() === crc32c(bytes)) return
  throw new AnswerFault('the store sent other bytes than its checksum says')
}

function lengthOf(headers: HttpAnswer['headers']): number {
  const text = headers['content-length'] ?? ''
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new AnswerFault('the store did not say how long its answer is')
}
