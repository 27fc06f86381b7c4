import { OperationError } from '../domain/operation-error.ts'

const decoder = new TextDecoder('utf-8', { fatal: true })

/** A small control record (cluster, catalogue entry, lease, manifest head) as the UTF-8 JSON that is sealed. */
export function encodeRecord(record: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record))
}

/**
 * Reads a control record field by field. Whatever is not as the format says is `damaged`, naming the record and the
 * field: a sealed record that does not parse was written by something else than this format.
 */
export class RecordReader {
  readonly #fields: Readonly<Record<string, unknown>>
  readonly #description: string

  private constructor(fields: Readonly<Record<string, unknown>>, description: string) {
    this.#fields = fields
    this.#description = description
  }

  static decode(bytes: Uint8Array, description: string): RecordReader {
    if (isHollow(bytes)) {
      const found = 'it holds more lists and records than bytes to fill them'
      throw new OperationError('damaged', `reading ${description}: ${found}`)
    }
    let value: unknown
    try {
      value = JSON.parse(decoder.decode(bytes))
    } catch (cause) {
      throw new OperationError('damaged', `reading ${description}: it is not a record`, { cause })
    }
    return RecordReader.#of(value, description)
  }

  static #of(value: unknown, description: string): RecordReader {
    if (!isFields(value)) throw new OperationError('damaged', `reading ${description}: it is not a record`)
    return new RecordReader(value, description)
  }

  string(name: string): string {
    const value = this.#fields[name]
    if (typeof value !== 'string') throw this.#wrong(name, 'a text')
    return value
  }

  optionalString(name: string): string | undefined {
    return this.has(name) ? this.string(name) : undefined
  }

  /** A whole number from 0 to 2^53 - 1. */
  count(name: string): number {
    const value = this.#fields[name]
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
      throw this.#wrong(name, 'a count')
    return value
  }

  boolean(name: string): boolean {
    const value = this.#fields[name]
    if (typeof value !== 'boolean') throw this.#wrong(name, 'true or false')
    return value
  }

  /** Reads a text with a parser of the domain; what the parser refuses is damage. */
  parsed<Value>(name: string, parse: (text: string) => Value): Value {
    const text = this.string(name)
    try {
      return parse(text)
    } catch (cause) {
      throw new OperationError('damaged', `reading ${this.#description}: its "${name}" cannot be read`, {
        cause,
      })
    }
  }

  /** Reads a count with a parser of the domain; what the parser refuses is damage. */
  parsedCount<Value>(name: string, parse: (count: number) => Value): Value {
    const count = this.count(name)
    try {
      return parse(count)
    } catch (cause) {
      throw new OperationError('damaged', `reading ${this.#description}: its "${name}" cannot be right`, {
        cause,
      })
    }
  }

  /** One of the given words. */
  word<Word extends string>(name: string, words: readonly Word[]): Word {
    const value = this.string(name)
    const word = words.find((candidate) => candidate === value)
    if (word === undefined) throw this.#wrong(name, `one of ${words.join(', ')}`)
    return word
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined
  }

  record(name: string): RecordReader {
    return RecordReader.#of(this.#fields[name], `${this.#description}, "${name}"`)
  }

  records(name: string): readonly RecordReader[] {
    const value = this.#fields[name]
    if (!Array.isArray(value)) throw this.#wrong(name, 'a list')
    return value.map((member: unknown) => RecordReader.#of(member, `${this.#description}, "${name}"`))
  }

  strings(name: string): readonly string[] {
    const value = this.#fields[name]
    if (!Array.isArray(value)) throw this.#wrong(name, 'a list of texts')
    return value.map((member: unknown) => {
      if (typeof member !== 'string') throw this.#wrong(name, 'a list of texts')
      return member
    })
  }

  #wrong(name: string, expected: string): OperationError {
    return new OperationError('damaged', `reading ${this.#description}: expected "${name}" to be ${expected}`)
  }
}

/**
 * Lists and records take memory also when they are empty: three bytes of text become sixty. In all that we write there are
 * more than 32 bytes to each, and below a mebibyte it does not matter (X8).
 */
function isHollow(bytes: Uint8Array): boolean {
  if (bytes.length < 1024 * 1024) return false
  const [list, record] = [0x5b, 0x7b]
  const most = 65_536 + bytes.length / 32
  let count = 0
  for (const byte of bytes) if (byte === list || byte === record) count += 1
  return count > most
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
