import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { GcsEndpoint } from '../../../test/support/gcs-endpoint/gcs-endpoint.ts'
import { json } from '../../../test/support/gcs-endpoint/token-server.ts'
import { createScratch } from '../../../test/support/scratch.ts'
import type { Fault } from '../../../test/support/scripted-endpoint.ts'
import { isOperationError, type OperationError } from '../../domain/operation-error.ts'
import type { Clock } from '../../domain/run-context.ts'
import { systemClock } from '../../platform/system-clock.ts'
import type { RetryPolicy } from '../call-with-retry.ts'
import type { ObjectStore } from '../object-store.ts'
import type { GcsCredentials } from './gcs-options.ts'
import { openGcsStore } from './gcs-store.ts'

describe('the tokens of a store in Google Cloud Storage', () => {
  test('are had with the key of a service account, signed, and used until they end', async () => {
    await using site = await makeSite()

    await Promise.all(['a', 'b', 'c'].map((key) => site.store.head(key)))
    await site.store.head('d')

    assert.equal(tokenRequests(site.endpoint), 1)
    assert.ok(
      site.endpoint.storeRequests.every(({ headers }) => headers.authorization === 'Bearer token-canary-1'),
    )
  })

  test('are had as a user', async () => {
    await using site = await makeSite(({ tokens, url }) => userFile(tokens.refreshToken, { tokens, url }))
    await using other = await makeSite(({ tokens, url }) => userFile('other-canary', { tokens, url }))

    assert.equal(await site.store.head('a'), undefined)
    const error = await failureOf(other.store.head('a'))
    assert.match(error.message, /key of the credentials is not valid/)
    assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /canary/)
  })

  test('are had as somebody who is known elsewhere', async () => {
    await using scratch = await createScratch('gcs-subject')
    const subjectFile = join(await scratch.makeFolder('subject'), 'token')
    await using site = await makeSite((endpoint) => externalAccount(endpoint, { file: subjectFile }))
    await writeFile(subjectFile, site.endpoint.tokens.subjectToken)

    assert.equal(await site.store.head('a'), undefined)
  })

  test('are had from the metadata server of the machine', async () => {
    await using endpoint = await GcsEndpoint.start()
    await using store = open(endpoint, { kind: 'instance', server: endpoint.url })

    assert.equal(await store.head('a'), undefined)
    assert.equal(endpoint.requests[0]?.headers['metadata-flavor'], 'Google')
  })

  test('are asked for again before they end', async () => {
    let nowMs = Date.now()
    await using site = await makeSite(undefined, { now: () => nowMs })

    await site.store.head('a')
    nowMs += 3_500_000
    await site.store.head('a')

    assert.equal(tokenRequests(site.endpoint), 2)
  })

  test('are asked for again, once, when the store does not take them any more', async () => {
    await using site = await makeSite()
    await site.store.head('a')

    site.endpoint.tokens.valid.clear()
    assert.equal(await site.store.head('a'), undefined)
    assert.equal(tokenRequests(site.endpoint), 2)

    const takeNone: Fault = { kind: 'change', change: () => site.endpoint.tokens.valid.clear() }
    site.endpoint.plan(takeNone, { part: '/token', times: 10 })
    site.endpoint.tokens.valid.clear()
    assert.match((await failureOf(site.store.head('a'))).message, /does not take the credentials/)
    assert.equal(tokenRequests(site.endpoint), 3)
  })

  test('are asked for again when their server fails, each time once', async () => {
    await using site = await makeSite()
    site.endpoint.plan(
      { kind: 'answer', answer: json(503, { error: 'unavailable' }) },
      { part: '/token', times: 3 },
    )
    site.endpoint.plan({ kind: 'reset' }, { part: '/token', times: 2 })

    assert.equal(await site.store.head('a'), undefined)
    assert.equal(tokenRequests(site.endpoint), 6)
  })

  for (const [name, answer, message] of [
    ['a key that was deleted', json(400, { error: 'invalid_grant' }), /key of the credentials is not valid/],
    [
      'an account that is unknown',
      json(401, { error: 'invalid_client' }),
      /credentials are refused \(401, invalid_client\)/,
    ],
    ['a refusal without a reason', json(403, {}), /credentials are refused \(403\)/],
    [
      'a clock that is behind',
      withDate(json(400, { error: 'invalid_grant' }), Date.now() + 2 * 3_600_000 + 60_000),
      /clock of this machine is [12] h.* behind that of the token server/,
    ],
  ] as const) {
    test(`are not to be had with ${name}, which is told at once (N2)`, async () => {
      await using site = await makeSite()
      site.endpoint.plan({ kind: 'answer', answer }, { part: '/token', times: 100 })

      const error = await failureOf(site.store.head('a'))

      assert.match(error.message, message)
      assert.ok(error.hint !== undefined)
      assert.equal(site.endpoint.requests.length, 1)
      assert.doesNotMatch(
        inspect(error, { depth: 20, showHidden: true }),
        /assertion|PRIVATE KEY|text of the server/,
      )
    })
  }

  test('are not asked for with what is no file of credentials, and nothing of it is shown', async () => {
    for (const [content, message] of [
      ['canary', /expected a JSON object/],
      ['{"type":"canary"}', /found another type/],
      ['{"type":"service_account","client_email":"canary"}', /expected "private_key"/],
      ['{"type":"service_account","client_email":"a","private_key":"canary"}', /private key in PEM/],
      [
        '{"type":"external_account","audience":"a","subject_token_type":"b","token_url":"https://canary/","credential_source":{"executable":{"command":"canary"}}}',
        /found a program to run/,
      ],
      [
        '{"type":"external_account","audience":"a","subject_token_type":"b","token_url":"http://canary.example/","credential_source":{"file":"/dev/null"}}',
        /./,
      ],
    ] as const) {
      await using site = await makeSite(() => content)

      const error = await failureOf(site.store.head('a'))

      assert.match(error.message, message)
      assert.equal(site.endpoint.requests.length, 0)
      if (!content.includes('https:')) assert.doesNotMatch(error.message, /canary"/)
    }
  })

  test('are missed on a machine that has none to give, with what has to be configured', async () => {
    await using endpoint = await GcsEndpoint.start()
    await using store = open(endpoint, { kind: 'instance', server: 'http://127.0.0.1:1' })
    endpoint.plan({ kind: 'answer', answer: json(404, {}) }, { part: '/computeMetadata' })
    await using other = open(endpoint, { kind: 'instance', server: endpoint.url })

    const error = await failureOf(store.head('a'))
    const without = await failureOf(other.head('a'))

    assert.equal(error.code, 'store-unreachable')
    assert.match(error.message, /nothing listens where the metadata server of this machine should be/)
    assert.match(error.hint ?? '', /Set gcs\.credentials-file/)
    assert.match(without.message, /this machine has no service account \(404\)/)
  })

  test('are not asked for where none are wanted', async () => {
    await using endpoint = await GcsEndpoint.start()
    await using store = open(endpoint, { kind: 'none' })

    assert.match((await failureOf(store.head('a'))).message, /does not take the credentials/)
    assert.equal(endpoint.requests[0]?.headers.authorization, undefined)
  })
})

const hasty: Partial<RetryPolicy> = {
  firstWaitMs: 1,
  longestWaitMs: 5,
  firstAnswerTimeoutMs: 500,
  maxAttempts: 20,
}

interface Site extends AsyncDisposable {
  readonly endpoint: GcsEndpoint
  readonly store: ObjectStore
}

async function makeSite(
  contentOf: (endpoint: GcsEndpoint) => string = (endpoint) => endpoint.credentialsFile,
  clock: Partial<Clock> = {},
): Promise<Site> {
  await using opened = new AsyncDisposableStack()
  const endpoint = opened.use(await GcsEndpoint.start())
  const read = (): Promise<string> => Promise.resolve(contentOf(endpoint))
  const store = opened.use(open(endpoint, { kind: 'file', read }, clock))
  const owned = opened.move()
  return { endpoint, store, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

function open(endpoint: GcsEndpoint, credentials: GcsCredentials, clock: Partial<Clock> = {}): ObjectStore {
  const location = { bucket: 'bucket', keyPrefix: '' }
  const options = { ...endpoint.options, credentials }
  return openGcsStore(location, options, { clock: { ...systemClock, ...clock }, policy: hasty })
}

function userFile(refreshToken: string, { tokens, url }: Pick<GcsEndpoint, 'tokens' | 'url'>): string {
  return JSON.stringify({
    type: 'authorized_user',
    client_id: 'id',
    client_secret: tokens.clientSecret,
    refresh_token: refreshToken,
    token_uri: `${url}/token`,
  })
}

function externalAccount(
  endpoint: GcsEndpoint,
  credential_source: Readonly<Record<string, unknown>>,
): string {
  return JSON.stringify({
    type: 'external_account',
    audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/p',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${endpoint.url}/token`,
    credential_source,
  })
}

function tokenRequests(endpoint: GcsEndpoint): number {
  return endpoint.requests.filter(({ path }) => path === '/token').length
}

function withDate(answer: ReturnType<typeof json>, ms: number): ReturnType<typeof json> {
  return { ...answer, headers: { ...answer.headers, date: new Date(ms).toUTCString() } }
}

async function failureOf(call: Promise<unknown>): Promise<OperationError> {
  const error: unknown = await call.then(
    () => assert.fail('it succeeded'),
    (reason: unknown) => reason,
  )
  if (!isOperationError(error)) throw error
  return error
}
