import { OperationError } from '../domain/operation-error.ts'

/** postgresql://[user[:password]@][host][:port][/dbname][?keyword=value&...]; an IPv6 address stands in brackets. */
const shape =
  /^postgres(?:ql)?:\/\/(?:(?<user>[^:@/?#]*)(?::(?<password>[^@/?#]*))?@)?(?<host>\[[^\]]*\]|[^:/?#@[\]]*)(?::(?<port>\d*))?(?:\/(?<dbname>[^?#/]*))?(?:\?(?<query>[^#]*))?$/

/** Splits a `postgresql://` address into libpq keywords, percent sequences decoded. The query's keywords come last. */
export function splitConninfoUri(text: string): [string, string][] {
  const parts = shape.exec(text)?.groups
  // Never shown in the message: it may hold a password.
  if (parts === undefined)
    throw malformed('the address is not of the form postgresql://user@host:port/dbname')
  const host = parts['host']?.replace(/^\[(.*)\]$/, '$1')
  const pairs: [string, string][] = []
  for (const [keyword, value] of Object.entries({ ...parts, host })) {
    if (value !== undefined && keyword !== 'query') pairs.push([keyword, decode(value, keyword)])
  }
  return [...pairs, ...splitQuery(parts['query'] ?? '')]
}

function splitQuery(query: string): [string, string][] {
  if (query === '') return []
  return query.split('&').map((parameter) => {
    const [keyword = '', value, ...rest] = parameter.split('=')
    if (value === undefined || rest.length > 0) {
      throw malformed(`query parameter "${keyword}" is not of the form keyword=value`)
    }
    const name = decode(keyword, 'keyword')
    return name === 'ssl' && value === 'true' ? ['sslmode', 'require'] : [name, decode(value, name)]
  })
}

function decode(text: string, name: string): string {
  let decoded: string
  try {
    decoded = decodeURIComponent(text)
  } catch (cause) {
    throw malformed(`"${name}" has an invalid percent sequence`, cause)
  }
  if (decoded.includes('\0')) throw malformed(`"${name}" contains a zero byte`)
  return decoded
}

function malformed(message: string, cause?: unknown): OperationError {
  return new OperationError('config-invalid', `connection string: ${message}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'Write special characters as percent sequences, for example %2F for "/" in a socket directory.',
  })
}
