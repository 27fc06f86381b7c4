/**
 * Why `connection` cannot be used as the connection string of a cluster; undefined when it can. Passwords do not belong
 * there: it is printed by `config show` and handed to other programs. The answer never repeats the string itself.
 */
export function connectionFault(connection: string): string | undefined {
  const isUri = /^postgres(ql)?:\/\//.test(connection)
  const keywords = isUri ? uriKeywords(connection) : conninfoKeywords(connection)
  if (keywords === undefined) return 'is not in libpq\'s form "keyword=value ..."'
  const secret = keywords.find((keyword) => secretKeywords.has(keyword))
  return secret === undefined ? undefined : `holds a ${secret}`
}

/** The keywords of libpq's PQconninfoOptions whose values are secrets. */
const secretKeywords: ReadonlySet<string> = new Set([
  'password',
  'sslpassword',
  'oauth_client_secret',
  'scram_client_key',
  'scram_server_key',
])

/** One `keyword = value` as conninfo_parse in fe-connect.c reads it: quoted, or up to white space with backslashes. */
const keywordAndValue = /\s*([a-z_]+)\s*=\s*(?:'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?=\s|$)/sy

function conninfoKeywords(connection: string): readonly string[] | undefined {
  const text = connection.trimEnd()
  const keywords: string[] = []
  keywordAndValue.lastIndex = 0
  while (keywordAndValue.lastIndex < text.length) {
    const match = keywordAndValue.exec(text)
    if (match === null) return undefined
    keywords.push(match[1] ?? '')
  }
  return keywords
}

function uriKeywords(connection: string): readonly string[] {
  const [address = '', query = ''] = connection.split('?', 2)
  const userAndPassword = /:\/\/([^/@]*)@/.exec(address)?.[1] ?? ''
  const named = query.split('&').map((pair) => (pair.split('=', 1)[0] ?? '').trim())
  return userAndPassword.includes(':') ? ['password', ...named] : named
}
