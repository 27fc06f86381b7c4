import { AnswerFault } from '../answer-fault.ts'
import type { Clock } from '../../domain/run-context.ts'
import type { AccessToken } from './access-tokens.ts'
import type { HttpClient } from './http-client.ts'
import { readJson, readRefusal } from './store-refusal.ts'
import { TokenFault } from './token-fault.ts'

/** By its address: the same on every machine of Google's, also where names are resolved late or elsewhere. */
const usualServer = 'http://169.254.169.254'

/**
 * Asks the metadata server of this machine for a token of its service account. The library's own way there takes no
 * signal, has no deadline and repeats requests.
 */
export async function askInstance(
  { client, server = usualServer, clock }: Asking,
  signal: AbortSignal,
): Promise<AccessToken> {
  const url = new URL('/computeMetadata/v1/instance/service-accounts/default/token', server)
  try {
    const answer = await client.ask({ method: 'GET', url, headers: { 'metadata-flavor': 'Google' } }, signal)
    if (answer.status !== 200) throw await readRefusal(answer, undefined)
    const { access_token: value, expires_in: seconds } = await readJson(answer)
    if (answer.headers['metadata-flavor'] !== 'Google') {
      throw new AnswerFault('what answers is no metadata server of Google')
    }
    if (typeof value !== 'string' || value === '' || typeof seconds !== 'number') {
      throw new AnswerFault('the metadata server answered without a token')
    }
    return { value, expiresAtMs: clock.now() + seconds * 1000 }
  } catch (cause) {
    throw new TokenFault(url.host, { kind: 'instance', cause })
  }
}

interface Asking {
  readonly client: HttpClient
  readonly server: string | undefined
  readonly clock: Pick<Clock, 'now'>
}
