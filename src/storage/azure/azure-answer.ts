/** What the answer to a failed request said, as far as there was one. Never its text: that may hold anything. */
export interface AzureAnswer {
  readonly status: number | undefined
  /** The store's name for the error, or the system's. */
  readonly name: string
  /** By their names in lower case. */
  readonly header: (name: string) => string | undefined
}

/** Reads an error of the SDK or of the system. */
export function readAnswer(error: unknown): AzureAnswer {
  const status = property(error, 'statusCode')
  const headers = property(property(error, 'response'), 'headers')
  const header = (name: string): string | undefined => textOf(invoke(headers, name))
  return {
    status: typeof status === 'number' ? status : undefined,
    // Answers to HEAD have no body; this header says the same.
    name: nameOf(header('x-ms-error-code') ?? property(error, 'code') ?? property(error, 'name')),
    header,
  }
}

function nameOf(value: unknown): string {
  return typeof value === 'string' && /^[\w.]{1,64}$/.test(value) ? value : 'an unknown error'
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function invoke(headers: unknown, name: string): unknown {
  const get = property(headers, 'get')
  return typeof get === 'function' ? Reflect.apply(get, headers, [name]) : undefined
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
