import type { Clock } from '../../domain/run-context.ts'
import type { AzureIdentity } from './azure-options.ts'
import { TokenFault } from './token-fault.ts'

/** What the tokens are for: all of Azure Storage, in every cloud. */
const resource = 'https://storage.azure.com/'
/** The instance metadata service of Azure, which only the machine itself reaches. */
const metadataEndpoint = 'http://169.254.169.254'
/** A token with less left than this is renewed; when that fails it is used as long as it lasts. */
const renewBeforeMs = 5 * 60_000
const askTimeoutMs = 10_000
const mostAnswerBytes = 256 * 1024

interface Token {
  readonly text: string
  readonly expiresAtMs: number
}

/**
 * The tokens of one identity, each asked for once and used until it is about to expire. Without the packages of Azure for that: they
 * are larger than the store. Rejects with `TokenFault`.
 */
export class IdentityTokens {
  readonly #identity: AzureIdentity
  readonly #clock: Pick<Clock, 'now'>
  readonly #metadataEndpoint: string
  #token: Token | undefined
  #asking: Promise<Token> | undefined

  constructor(identity: AzureIdentity, clock: Pick<Clock, 'now'>, endpoint: string = metadataEndpoint) {
    this.#identity = identity
    this.#clock = clock
    this.#metadataEndpoint = endpoint
  }

  /** The token that was used last, so that it can be taken out of messages. */
  get known(): string | undefined {
    return this.#token?.text
  }

  async current(): Promise<string> {
    const token = this.#token
    const leftMs = token === undefined ? 0 : token.expiresAtMs - this.#clock.now()
    if (token !== undefined && leftMs > renewBeforeMs) return token.text
    try {
      return (await this.#renew()).text
    } catch (error) {
      if (token !== undefined && leftMs > 0) return token.text
      throw error
    }
  }

  /** Of several callers one asks. */
  #renew(): Promise<Token> {
    this.#asking ??= this.#ask()
      .then((token) => {
        this.#token = token
        return token
      })
      .finally(() => {
        this.#asking = undefined
      })
    return this.#asking
  }

  async #ask(): Promise<Token> {
    const { url, request } = await requestFor(this.#identity, this.#metadataEndpoint)
    const { status, text } = await send(url, request)
    const answer = parseObject(text)
    const { access_token: token, expires_in: seconds } = answer
    const lifeMs = Number(seconds) * 1000
    if (status === 200 && typeof token === 'string' && token !== '' && lifeMs > 0) {
      return { text: token, expiresAtMs: this.#clock.now() + lifeMs }
    }
    throw TokenFault.answered(this.#identity, status, answer)
  }
}

interface TokenRequest {
  readonly url: string
  readonly request: RequestInit
}

async function requestFor(identity: AzureIdentity, endpoint: string): Promise<TokenRequest> {
  if (identity.kind === 'managed-identity') {
    const query = new URLSearchParams({ 'api-version': '2018-02-01', resource })
    if (identity.clientId !== undefined) query.set('client_id', identity.clientId)
    return {
      url: `${endpoint}/metadata/identity/oauth2/token?${query.toString()}`,
      request: { headers: { metadata: 'true' } },
    }
  }
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    scope: `${resource}.default`,
    client_id: identity.clientId,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: await identity.readAssertion(),
  })
  return {
    url: `${identity.authority}/${encodeURIComponent(identity.tenantId)}/oauth2/v2.0/token`,
    request: { method: 'POST', body: form },
  }
}

/** Redirects are not followed: what is sent may be a secret. */
async function send(url: string, request: RequestInit): Promise<{ status: number; text: string }> {
  try {
    const answer = await fetch(url, {
      ...request,
      redirect: 'manual',
      signal: AbortSignal.timeout(askTimeoutMs),
    })
    const text = await answer.text()
    return { status: answer.status, text: text.slice(0, mostAnswerBytes) }
  } catch (cause) {
    throw TokenFault.unreached(new URL(url).host, cause)
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text)
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}
  } catch {
    return {} // the status says enough
  }
}
