import type * as Library from 'google-auth-library'
import { createPrivateKey } from 'node:crypto'
import { OperationError } from '../../domain/operation-error.ts'
import { AnswerFault } from '../answer-fault.ts'
import type { AccessToken } from './access-tokens.ts'
import type { HttpClient } from './http-client.ts'
import { isObject, readRefusal, readText } from './store-refusal.ts'
import { TokenFault } from './token-fault.ts'

/** Objects may be read, written and deleted; nothing else of the project may be touched with the token. */
const scope = 'https://www.googleapis.com/auth/devstorage.read_write'

/** Where the library asks for service accounts and users. */
const libraryTokenUrl = 'https://oauth2.googleapis.com/token'

/** The part of a client of the library that we use. */
interface TokenClient {
  getAccessToken(): Promise<{ token?: string | null | undefined }>
  readonly credentials: { readonly expiry_date?: number | null | undefined }
}

/** Reads a file of credentials and asks whom it names for a token, once: the library's retries are off. */
export async function askWithFile(
  { read, http }: { readonly read: () => Promise<string>; readonly http: HttpClient },
  signal: AbortSignal,
): Promise<AccessToken> {
  const file = parseCredentials(await read())
  // Loaded when it is needed, which takes a tenth of a second.
  const library = await import('google-auth-library')
  const asked = askedFirst(file)
  const client = openClient(library, file, {
    // Without these it can be told by the environment to log whole requests.
    useAuthRequestParameters: false,
    transporterOptions: {
      retryConfig: { retry: 0 },
      fetchImplementation: (input, init) =>
        fetchOnce({ input, init, tokenUrl: tokenUrlOf(file) }, http, signal),
    },
  })
  try {
    const { token } = await client.getAccessToken()
    const expiresAtMs = client.credentials.expiry_date
    if (typeof token !== 'string' || token === '' || typeof expiresAtMs !== 'number') {
      throw new AnswerFault('the token server answered without a token')
    }
    return { value: token, expiresAtMs }
  } catch (error) {
    // The library's errors hold whole requests: only what went wrong below them is passed on.
    const cause = innermost(error)
    if (cause instanceof OperationError) throw cause
    throw new TokenFault(asked, { kind: 'file', cause })
  }
}

type CredentialsFile = Readonly<Record<string, unknown>> & {
  readonly type: 'service_account' | 'authorized_user' | 'external_account'
}

const knownTypes = ['service_account', 'authorized_user', 'external_account']

function parseCredentials(text: string): CredentialsFile {
  const file = parseObject(text)
  const type = file?.['type']
  if (file === undefined || typeof type !== 'string') {
    throw unfit('a JSON object of Google with a "type"', 'something else')
  }
  if (!isKnown(file)) throw unfit(knownTypes.map((name) => `"${name}"`).join(', '), 'another type')
  const missing = neededIn[file.type].find((name) => typeof file[name] !== 'string' || file[name] === '')
  if (missing !== undefined) throw unfit(`"${missing}" in a file of type "${file.type}"`, 'none')
  if (file.type === 'service_account') refuseBrokenKey(String(file['private_key']))
  const source = file['credential_source']
  if (isObject(source) && source['executable'] !== undefined) {
    throw unfit('a credential source that is a file, an address or AWS', 'a program to run')
  }
  return file
}

const neededIn: Readonly<Record<CredentialsFile['type'], readonly string[]>> = {
  service_account: ['client_email', 'private_key'],
  authorized_user: ['client_id', 'client_secret', 'refresh_token'],
  external_account: ['audience', 'subject_token_type', 'token_url'],
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(text)
    return isObject(parsed) ? parsed : undefined
  } catch {
    return undefined // its message would repeat a part of the file
  }
}

function isKnown(file: Readonly<Record<string, unknown>>): file is CredentialsFile {
  return typeof file['type'] === 'string' && knownTypes.includes(file['type'])
}

function refuseBrokenKey(key: string): void {
  try {
    createPrivateKey(key)
  } catch {
    throw unfit('a private key in PEM as "private_key"', 'something else')
  }
}

function unfit(expected: string, found: string): OperationError {
  return new OperationError(
    'config-invalid',
    `reading gcs.credentials-file of the repo: expected ${expected}, found ${found}`,
    { hint: 'Get the file again as docs/gcs.md says, and put it there unchanged.' },
  )
}

function openClient(
  { JWT, UserRefreshClient, AwsClient, IdentityPoolClient }: typeof Library,
  file: CredentialsFile,
  options: Pick<Library.JWTOptions, 'transporterOptions' | 'useAuthRequestParameters'>,
): TokenClient {
  const text = (name: string): string => String(file[name])
  switch (file.type) {
    case 'service_account':
      return new JWT({ ...options, email: text('client_email'), key: text('private_key'), scopes: [scope] })
    case 'authorized_user':
      return new UserRefreshClient({
        ...options,
        clientId: text('client_id'),
        clientSecret: text('client_secret'),
        refreshToken: text('refresh_token'),
      })
    case 'external_account': {
      // Not `ExternalAccountClient.fromJSON`: it writes a warning to the standard error.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the library checks what it needs of the file
      const described = { ...file, ...options, scopes: [scope] } as unknown as Library.AwsClientOptions &
        Library.IdentityPoolClientOptions
      return isOfAws(file) ? new AwsClient(described) : new IdentityPoolClient(described)
    }
  }
}

function isOfAws({ credential_source: source }: CredentialsFile): boolean {
  return isObject(source) && typeof source['environment_id'] === 'string'
}

/** Files may say where their tokens are; the library would ask Google whatever they say. */
function tokenUrlOf({ token_uri: url }: CredentialsFile): string | undefined {
  return typeof url === 'string' && URL.canParse(url) ? url : undefined
}

function askedFirst(file: CredentialsFile): string {
  const url = tokenUrlOf(file) ?? file['token_url']
  return new URL(typeof url === 'string' && URL.canParse(url) ? url : libraryTokenUrl).host
}

interface Fetching {
  readonly input: string | URL | Request
  readonly init: RequestInit | undefined
  readonly tokenUrl: string | undefined
}

/** What the library takes for `fetch`: one request of ours. A refusal is thrown, so that it arrives as it is. */
async function fetchOnce(
  { input, init, tokenUrl }: Fetching,
  http: HttpClient,
  signal: AbortSignal,
): Promise<Response> {
  const named = input instanceof Request ? input.url : String(input)
  const url = new URL(named === libraryTokenUrl ? (tokenUrl ?? named) : named)
  refuseExposed(url)
  const body = new Uint8Array(await new Response(init?.body ?? null).arrayBuffer())
  const request = { method: methodOf(init), url, headers: headersOf(init), body: [body] }
  const answer = await http.ask(request, signal)
  if (answer.status >= 300) throw await readRefusal(answer, undefined)
  const content = await readText(answer)
  const headers = { 'content-type': answer.headers['content-type'] ?? 'application/json' }
  return new Response(content, { status: answer.status, headers })
}

/** AWS's own metadata server wants PUT. */
function methodOf(init: RequestInit | undefined): 'GET' | 'POST' | 'PUT' {
  const method = init?.method ?? 'GET'
  return method === 'POST' || method === 'PUT' ? method : 'GET'
}

function headersOf(init: RequestInit | undefined): Record<string, string> {
  return Object.fromEntries(new Headers(init?.headers))
}

/** Secrets go nowhere without TLS, but to this machine and to the metadata server of the one that it runs on. */
function refuseExposed({ protocol, hostname }: URL): void {
  const isLocal = hostname === 'localhost' || /^(127\.|169\.254\.169\.254$)|^\[::1\]$/.test(hostname)
  if (protocol === 'https:' || (protocol === 'http:' && isLocal)) return
  throw unfit('addresses that begin with "https:"', 'another')
}

/** At most so many causes are looked through. */
const mostCauses = 8

function innermost(error: unknown): unknown {
  let found = error
  for (let depth = 0; depth < mostCauses; depth += 1) {
    if (!(found instanceof Error) || found.cause === undefined) break
    found = found.cause
  }
  return found
}
