import { AnswerFault } from '../answer-fault.ts'
import type { HttpAnswer } from './http-client.ts'

/** Listings of a thousand keys have half of it. */
const mostJsonBytes = 4 * 1024 * 1024
const mostRefusalBytes = 64 * 1024
const mostShownCharacters = 500

/** An answer that is no success. `serverText` may hold anything and is never shown but to who looks for the cause. */
export class StoreRefusal extends Error {
  override readonly name = 'StoreRefusal'
  readonly status: number
  /** The store's name for it, such as `notFound`; empty when the answer is none of the store's. */
  readonly reason: string
  readonly serverText: string
  readonly headers: HttpAnswer['headers']

  constructor(
    { status, headers }: Pick<HttpAnswer, 'status' | 'headers'>,
    { reason, text }: { reason: string; text: string },
  ) {
    super(`${reason === '' ? 'an answer without a reason' : reason} (${status})`)
    this.status = status
    this.headers = headers
    this.reason = reason
    this.serverText = text
  }

  /** For whoever looks for the cause: with what the store said. */
  toCause(): Error {
    return new Error(`${this.message}: ${this.serverText.slice(0, mostShownCharacters)}`)
  }
}

/** Reads what a refusal says. `secret` is taken out of it: a store, or what lies before it, may repeat what it was sent. */
export async function readRefusal(answer: HttpAnswer, secret: string | undefined): Promise<StoreRefusal> {
  const body = await readText(answer)
  const text = secret === undefined ? body : body.replaceAll(secret, '***')
  return new StoreRefusal(answer, { reason: reasonIn(text), text: messageIn(text) })
}

/** The JSON object that an answer is. Anything else is an `AnswerFault`. */
export async function readJson(answer: HttpAnswer): Promise<Readonly<Record<string, unknown>>> {
  const parsed = parseObject(await readText(answer, mostJsonBytes))
  if (parsed === undefined) throw new AnswerFault('the store answered with something that is no JSON')
  return parsed
}

/** All of a short answer, as many bytes as it announces. */
export async function readText(
  { body, headers }: HttpAnswer,
  mostBytes: number = mostRefusalBytes,
): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- without an encoding a body is of buffers
    const bytes = chunk as Buffer
    length += bytes.length
    if (length > mostBytes) throw new AnswerFault('the store answered with more than there can be') // ends the connection
    chunks.push(bytes)
  }
  const announced = headers['content-length']
  if (announced !== undefined && Number(announced) !== length) {
    throw new AnswerFault(`the store announced ${announced} bytes and sent ${length}`)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(text)
    return isObject(parsed) ? parsed : undefined
  } catch {
    return undefined // portals and proxies answer with pages
  }
}

/** `error.errors[0].reason` of the JSON API, or the `error` of a token server. */
function reasonIn(text: string): string {
  const error = parseObject(text)?.['error']
  const errors: unknown = isObject(error) ? error['errors'] : undefined
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined
  const reason = isObject(first) ? first['reason'] : error
  return typeof reason === 'string' && /^[\w.]{1,64}$/.test(reason) ? reason : ''
}

/** The message of the JSON API; of another answer all of it, as when an object is read. */
function messageIn(text: string): string {
  const error = parseObject(text)?.['error']
  return isObject(error) && typeof error['message'] === 'string' ? error['message'] : text.trim()
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
