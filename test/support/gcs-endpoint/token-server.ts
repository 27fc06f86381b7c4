import { generateKeyPairSync, verify } from 'node:crypto'
import type { Answer, Asked } from '../scripted-endpoint.ts'

const scope = 'https://www.googleapis.com/auth/devstorage.read_write'

/** Made once: it takes a tenth of a second. */
const keys = generateKeyPairSync('rsa', { modulusLength: 2048 })

/** Gives tokens to who proves who it is: a service account, a user, somebody known elsewhere, or the machine itself. */
export class TokenServer {
  /** What is taken for a token now. */
  readonly valid = new Set<string>()
  readonly account = 'backup@project.iam.gserviceaccount.com'
  readonly refreshToken = 'refresh-canary'
  readonly clientSecret = 'client-canary'
  readonly subjectToken = 'subject-canary'
  #given = 0

  get privateKey(): string {
    return keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  }

  /** The answer to a request for a token; undefined: it is for something else. */
  answer({ path, headers, body }: Asked): Answer | undefined {
    if (path === '/token') return this.#answerForm(new URLSearchParams(body.toString()))
    if (!path.startsWith('/computeMetadata/')) return undefined
    if (headers['metadata-flavor'] !== 'Google') return json(403, {})
    return { ...this.#give(), headers: { 'metadata-flavor': 'Google', 'content-type': 'application/json' } }
  }

  #answerForm(form: URLSearchParams): Answer {
    switch (form.get('grant_type') ?? '') {
      case 'urn:ietf:params:oauth:grant-type:jwt-bearer':
        return this.#isSigned(form.get('assertion') ?? '') ? this.#give() : refusal('invalid_grant')
      case 'refresh_token': {
        const isRight =
          form.get('refresh_token') === this.refreshToken && form.get('client_secret') === this.clientSecret
        return isRight ? this.#give() : refusal('invalid_grant')
      }
      case 'urn:ietf:params:oauth:grant-type:token-exchange':
        return form.get('subject_token') === this.subjectToken ? this.#give() : refusal('invalid_grant')
      default:
        return refusal('unsupported_grant_type')
    }
  }

  #give(): Answer {
    this.#given += 1
    const value = `token-canary-${this.#given}`
    this.valid.add(value)
    const issued = 'urn:ietf:params:oauth:token-type:access_token'
    return json(200, {
      access_token: value,
      expires_in: 3599,
      token_type: 'Bearer',
      issued_token_type: issued,
    })
  }

  /** By RFC 7515 and 7523. */
  #isSigned(assertion: string): boolean {
    const [header = '', claims = '', signature = ''] = assertion.split('.')
    const content = Buffer.from(`${header}.${claims}`)
    if (!verify('sha256', content, keys.publicKey, Buffer.from(signature, 'base64url'))) return false
    const told = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, unknown>
    return told['iss'] === this.account && told['scope'] === scope && Number(told['exp']) * 1000 > Date.now()
  }
}

export function json(status: number, content: unknown): Answer {
  const headers = { 'content-type': 'application/json; charset=UTF-8' }
  return { status, headers, body: Buffer.from(JSON.stringify(content)) }
}

function refusal(error: string): Answer {
  return json(400, { error, error_description: 'text of the server' })
}
