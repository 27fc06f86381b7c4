import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { AzureEndpoint } from '../../../test/support/azure-endpoint/azure-endpoint.ts'
import { freePort } from '../../../test/support/free-port.ts'
import { ScriptedEndpoint, type Answer } from '../../../test/support/scripted-endpoint.ts'
import { waitUntil } from '../../../test/support/wait.ts'
import { isOperationError, type OperationError } from '../../domain/operation-error.ts'
import { systemClock } from '../../platform/system-clock.ts'
import type { ObjectStore } from '../object-store.ts'
import type { AzureLogin } from './azure-options.ts'
import { openAzureStore } from './azure-store.ts'
import { IdentityTokens } from './identity-tokens.ts'

const machine = { kind: 'managed-identity', clientId: undefined } as const

describe('the identity of a machine', () => {
  test('is asked for a token once, which then goes with every request', async () => {
    await using issuer = await startIssuer()
    await using site = await makeSite({ ...machine, clientId: 'some-id' }, issuer.url)
    site.endpoint.accepted.add('token-canary-1')

    await Promise.all([site.store.head('a'), site.store.head('b')])
    assert.equal(await site.store.putIfAbsent('key', Uint8Array.of(1)), 'created')

    const [asked, ...others] = issuer.requests
    assert.equal(others.length, 0)
    assert.equal(asked?.headers['metadata'], 'true')
    assert.equal(asked.key, '/metadata/identity/oauth2/token')
    assert.equal(asked.query.get('resource'), 'https://storage.azure.com/')
    assert.equal(asked.query.get('client_id'), 'some-id')
  })

  test('gets another token before the first one expires, and uses it as long as there is no other', async () => {
    await using issuer = await startIssuer()
    let nowMs = 0
    const tokens = new IdentityTokens(machine, { now: () => nowMs }, issuer.url)

    assert.equal(await tokens.current(), 'token-canary-1')
    nowMs = 54 * 60_000
    assert.equal(await tokens.current(), 'token-canary-1')
    nowMs = 56 * 60_000
    issuer.plan({ kind: 'refuse', status: 500, code: 'odd' })
    assert.equal(await tokens.current(), 'token-canary-1')
    assert.equal(await tokens.current(), 'token-canary-3')
    nowMs = 200 * 60_000
    issuer.plan({ kind: 'refuse', status: 500, code: 'odd' })
    await assert.rejects(tokens.current(), /gives out tokens is busy \(500, odd\)/)
  })

  test('outlasts that the issuer is busy, and fails at once without an identity', async () => {
    await using issuer = await startIssuer()
    await using site = await makeSite(machine, issuer.url)
    site.endpoint.accepted.add('token-canary-3')
    issuer.plan({ kind: 'refuse', status: 429, code: 'busy' })
    issuer.plan({ kind: 'reset' })
    assert.equal(await site.store.head('a'), undefined)

    await using other = await makeSite(machine, issuer.url)
    issuer.plan({ kind: 'refuse', status: 400, code: 'invalid_request' }, { times: 100 })
    const error = await failureOf(other.store.head('a'))

    assert.match(error.message, /does not get a token for its identity \(400, invalid_request\)/)
    assert.equal(other.endpoint.requests.length, 0)
  })

  test('does not keep a caller that ends while nobody gives out a token', async () => {
    await using issuer = await startIssuer()
    await using site = await makeSite(machine, issuer.url)
    issuer.plan({ kind: 'stall' })
    const reason = new Error('stop')
    const controller = new AbortController()
    const call = site.store.head('a', { signal: controller.signal })
    await waitUntil('a token is asked for', () => issuer.requests.length > 0)
    controller.abort(reason)

    await assert.rejects(call, (error) => error === reason)
  })

  test('is not there on other machines', async () => {
    await using site = await makeSite(machine, `http://127.0.0.1:${await freePort()}`)

    const error = await failureOf(site.store.head('a'))

    assert.match(
      error.message,
      /nothing that gives out tokens answers at "127\.0\.0\.1:\d+" \(ECONNREFUSED\)/,
    )
  })

  test('is refused by a store of another directory', async () => {
    await using issuer = await startIssuer()
    await using site = await makeSite(machine, issuer.url)

    const error = await failureOf(site.store.head('a'))

    assert.match(error.message, /does not take the token of the identity \(AuthenticationFailed\)/)
    assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /canary/)
  })
})

describe('the identity of a workload', () => {
  test('shows its own token to Entra, and gets one for the store', async () => {
    await using issuer = await startIssuer()
    await using site = await makeSite(workload(issuer.url))
    site.endpoint.accepted.add('token-canary-1')

    assert.equal(await site.store.head('a'), undefined)

    const [asked] = issuer.requests
    assert.equal(asked?.key, '/some-tenant/oauth2/v2.0/token')
    const form = new URLSearchParams(asked.body.toString())
    assert.equal(form.get('client_assertion'), 'assertion-canary')
    assert.equal(form.get('client_id'), 'some-id')
    assert.equal(form.get('scope'), 'https://storage.azure.com/.default')
  })

  test('fails at once when Entra does not take its token, and does not repeat it', async () => {
    await using issuer = await startIssuer()
    await using site = await makeSite(workload(issuer.url))
    issuer.plan({ kind: 'refuse', status: 401, code: 'AADSTS700024: assertion-canary is too old' })

    const error = await failureOf(site.store.head('a'))

    assert.match(error.message, /Entra does not take the token of the workload \(401, AADSTS700024\)/)
    assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /canary/)
  })
})

describe('a shared access signature', () => {
  test('goes with every request, and is read again when it has become old', async () => {
    let nowMs = Date.now()
    const read = (): Promise<string> => Promise.resolve(`sp=rwdl&sig=signature-${nowMs}`)
    await using site = await makeSite({ kind: 'sas', read }, undefined, () => nowMs)
    site.endpoint.accepted.add(`signature-${nowMs}`)
    await site.store.head('a')

    nowMs += 16 * 60_000
    site.endpoint.accepted.add(`signature-${nowMs}`)
    await site.store.head('a')

    assert.deepEqual(
      site.endpoint.requests.map(({ query }) => query.get('sig')),
      [...site.endpoint.accepted],
    )
  })

  for (const [name, times, message] of [
    ['has expired', () => `se=${iso(-90)}`, /signature has expired 1 h 30 min ago/],
    ['is not valid yet', () => `st=${iso(120)}&se=${iso(180)}`, /signature is valid in 2 h only/],
    ['was made with another key', () => `se=${iso(60)}`, /does not take the shared access signature/],
    ['leaves its times to a policy', () => 'si=policy', /does not take the shared access signature/],
  ] as const) {
    test(`is refused with the reason when it ${name}`, async () => {
      const signature = `?sv=2026-01-01&${times()}&sig=canary`
      await using site = await makeSite({ kind: 'sas', read: () => Promise.resolve(signature) })

      const error = await failureOf(site.store.head('a'))

      assert.match(error.message, message)
      assert.match(error.hint ?? '', /azure\.sas-file/)
      assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /canary/)
    })
  }
})

/** So many minutes from now or before, and two seconds that a test may take. */
function iso(minutes: number): string {
  return encodeURIComponent(new Date(Date.now() + minutes * 60_000 + Math.sign(minutes) * 2000).toISOString())
}

function workload(authority: string): AzureLogin {
  return {
    kind: 'workload-identity',
    clientId: 'some-id',
    tenantId: 'some-tenant',
    authority,
    readAssertion: () => Promise.resolve('assertion-canary'),
  }
}

/** Gives out `token-canary-1` and so on, each for an hour; a refusal describes itself by its code. */
async function startIssuer(): Promise<ScriptedEndpoint> {
  const issuer: ScriptedEndpoint = new ScriptedEndpoint({
    keyOf: (path) => path,
    refuse: () => undefined,
    answer: () => json(200, { access_token: `token-canary-${issuer.requests.length}`, expires_in: '3600' }),
    refusal: (status, code) => json(status, { error: code, error_description: code }),
  })
  await issuer.listen()
  return issuer
}

function json(status: number, content: object): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(content)),
  }
}

interface Site extends AsyncDisposable {
  readonly endpoint: AzureEndpoint
  readonly store: ObjectStore
}

async function makeSite(
  login: AzureLogin,
  identityEndpoint?: string,
  now: () => number = () => systemClock.now(),
): Promise<Site> {
  await using opened = new AsyncDisposableStack()
  const endpoint = opened.use(await AzureEndpoint.start())
  const policy = { firstWaitMs: 1, longestWaitMs: 5, firstAnswerTimeoutMs: 200 }
  const store = await openAzureStore(
    { container: 'box', keyPrefix: '' },
    { ...endpoint.options, login, identityEndpoint },
    { clock: { ...systemClock, now }, policy },
  )
  opened.use(store)
  const owned = opened.move()
  return { endpoint, store, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function failureOf(call: Promise<unknown>): Promise<OperationError> {
  const error: unknown = await call.then(
    () => assert.fail('it succeeded'),
    (reason: unknown) => reason,
  )
  if (!isOperationError(error)) throw error
  return error
}
