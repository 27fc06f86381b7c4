import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { AzureEndpoint } from '../../../test/support/azure-endpoint/azure-endpoint.ts'
import { testContext } from '../../../test/support/repository.ts'
import { pem, xml, type Answer, type Fault } from '../../../test/support/scripted-endpoint.ts'
import { collect } from '../../../test/support/store-contract.ts'
import { isOperationError, type OperationError } from '../../domain/operation-error.ts'
import { systemClock } from '../../platform/system-clock.ts'
import type { RetryPolicy } from '../call-with-retry.ts'
import type { KeptObject, ObjectStore } from '../object-store.ts'
import { probeStore } from '../probe-store.ts'
import type { AzureStoreOptions } from './azure-options.ts'
import { openAzureStore } from './azure-store.ts'

const methods = ['get', 'head', 'put', 'delete', 'list'] as const

describe('an Azure store', () => {
  for (const [status, code] of [
    [500, 'InternalError'],
    [500, 'OperationTimedOut'],
    [502, 'BadGateway'],
    [503, 'ServerBusy'],
    [429, 'TooManyRequests'],
  ] as const) {
    test(`outlasts a burst of ${status} ${code} (N1)`, async () => {
      await using site = await makeSite()
      site.endpoint.plan({ kind: 'refuse', status, code }, { times: 12 })

      assert.equal(await site.store.putIfAbsent('key', bytes), 'created')
      assert.deepEqual(await site.store.get('key'), bytes)
    })
  }

  test('gives up at its deadline, and says how often it has tried (N1)', async () => {
    await using site = await makeSite({ callTimeoutMs: 300 })
    site.endpoint.plan(serverBusy, { times: 10_000 })

    const error = await failureOf(site.store.putIfAbsent('key', bytes))

    assert.equal(error.code, 'store-failed')
    assert.match(
      error.message,
      /storing object "key" of "azure:box\/p".*ServerBusy.*given up after .* attempts/,
    )
    assert.ok(site.endpoint.requests.length > 2)
  })

  test('leaves a store alone as long as it asks for (N1)', async () => {
    await using site = await makeSite({ callTimeoutMs: 300 })
    site.endpoint.plan({ ...serverBusy, headers: { 'retry-after': '60' } })

    await failureOf(site.store.get('key'))

    assert.equal(site.endpoint.requests.length, 1)
  })

  test('never has more requests under way than it may, also while deleting (N1)', async () => {
    await using site = await makeSite({ maxRequests: 3 })
    await site.store.head('key')
    site.endpoint.plan({ kind: 'stall' }, { method: 'DELETE', times: 3 })

    const deletion = site.store.delete(Array.from({ length: 10 }, (_, index) => `key-${index}`))
    await new Promise((resolve) => {
      setTimeout(resolve, 200)
    })

    assert.equal(site.endpoint.requests.length, 1 + 3)
    await deletion
  })

  for (const [name, status, code, message] of [
    ['a wrong key', 403, 'AuthenticationFailed', /key is not one of the account "account"/],
    ['no permission', 403, 'AuthorizationPermissionMismatch', /does not allow it \(AuthorizationPermiss/],
    ['a network rule', 403, 'AuthorizationFailure', /does not allow it \(AuthorizationFailure\)/],
    ['keys that are forbidden', 403, 'KeyBasedAuthenticationNotPermitted', /does not allow it \(KeyBased/],
    ['401', 401, 'Unauthorized', /answered 401/],
    ['no such container', 404, 'ContainerNotFound', /expected the container "box" in account "account"/],
    ['404 that does not say what is missing', 404, 'ResourceNotFound', /does not say that it is an object/],
    ['404 of something else', 404, 'NotFound', /answered 404/],
    ['an account that is disabled', 403, 'AccountIsDisabled', /the account is disabled/],
    ['an archived object', 409, 'BlobArchived', /in the archive tier/],
    ['a key in a vault that is gone', 403, 'KeyVaultEncryptionKeyNotFound', /its own encryption key/],
    ['an access tier that is not there', 409, 'FeatureNotSupportedForAccount', /does not have what is asked/],
    ['a lease of somebody', 412, 'LeaseIdMissing', /somebody holds a lease/],
    ['a redirect', 307, 'Odd', /answered 307/],
  ] as const) {
    for (const method of methods) {
      test(`fails at once on ${name}, and takes it for no absence: ${method} (N2)`, async () => {
        await using site = await makeSite()
        const headers = { location: `${site.endpoint.url}/account/box/p/key` }
        site.endpoint.plan({ kind: 'refuse', status, code, headers }, { times: 1000 })

        const error = await failureOf(callOf(site.store, method))

        assert.match(error.message, message)
        assert.ok(error.hint !== undefined)
        assert.ok(site.endpoint.requests.length <= 2)
      })
    }
  }

  test('says that the clock is wrong, and by how much (N2)', async () => {
    await using site = await makeSite()
    const date = new Date(Date.now() - 3 * 3_600_000 - 60_000).toUTCString()
    site.endpoint.plan({ kind: 'refuse', status: 403, code: 'AuthenticationFailed', headers: { date } })

    const error = await failureOf(site.store.get('key'))

    assert.match(error.message, /clock of this machine is 3 h 1 min ahead of the clock of the store/)
  })

  for (const [certificate, options, message] of [
    ['trusted', {}, /certificate of the store is from an unknown authority/],
    ['other-host', { caCertificates: pem('ca.pem') }, /certificate of the store is for another host name/],
    ['expired', { caCertificates: pem('ca.pem') }, /certificate of the store has expired/],
  ] as const) {
    test(`refuses a certificate that is ${certificate} ${Object.keys(options).join()} (N2)`, async () => {
      await using site = await makeSite(options, certificate)

      const error = await failureOf(site.store.get('key'))

      assert.equal(error.code, 'store-unreachable')
      assert.match(error.message, message)
      assert.equal(site.endpoint.requests.length, 0)
    })
  }

  test('takes a certificate of an authority that it was told of (N2)', async () => {
    await using site = await makeSite({ caCertificates: pem('ca.pem') }, 'trusted')

    assert.equal(await site.store.putIfAbsent('key', bytes), 'created')
  })

  test('says that nothing listens, that a name is not resolved, and that there is no TLS (N2)', async () => {
    await using site = await makeSite({ endpoint: 'http://127.0.0.1:1' })
    await using nowhere = await makeSite({ endpoint: 'https://store.invalid' })
    await using plain = await makeSite()
    await using secure = await makeSite({ endpoint: plain.endpoint.url.replace('http:', 'https:') })

    const refused = await failureOf(site.store.get('key'))
    const unknown = await failureOf(nowhere.store.get('key'))
    const unspoken = await failureOf(secure.store.get('key'))

    assert.equal(refused.code, 'store-unreachable')
    assert.match(refused.message, /nothing listens where the store should be at "http:\/\/127\.0\.0\.1:1"/)
    assert.equal(unknown.code, 'store-unreachable')
    assert.match(unknown.message, /name of the store at "https:\/\/store\.invalid" was not resolved/)
    assert.match(unspoken.message, /does not speak TLS as it should/)
  })
})

describe('an Azure store whose answers are lost, cut or wrong', () => {
  for (const [name, fault] of [
    ['it is lost', { kind: 'lose-answer' }],
    ['it is an error', { kind: 'change', change: (answer) => Object.assign(answer, busy()) }],
    [
      'it does not say what was stored',
      { kind: 'change', change: (answer) => delete answer.headers['etag'] },
    ],
  ] as readonly (readonly [string, Fault])[]) {
    test(`knows its own object again when the answer was not seen: ${name} (N3)`, async () => {
      await using site = await makeSite()
      site.endpoint.plan(fault, { method: 'PUT', times: 2 })

      assert.equal(await site.store.putIfAbsent('key', bytes), 'created')
      assert.deepEqual(await site.store.get('key'), bytes)
    })
  }

  test('tells one of two callers with the same bytes that it created them, when both answers are lost (N3)', async () => {
    await using site = await makeSite()
    await using other = await makeSite({ endpoint: site.endpoint.url })
    site.endpoint.plan({ kind: 'lose-answer' }, { method: 'PUT', times: 2 })

    const answers = await Promise.all([
      site.store.putIfAbsent('key', bytes),
      other.store.putIfAbsent('key', bytes),
    ])

    assert.deepEqual(answers.toSorted(), ['created', 'exists'])
  })

  test('fails when it cannot tell whose object it is, rather than guessing (N3)', async () => {
    await using site = await makeSite()
    site.endpoint.plan({ kind: 'lose-answer' }, { method: 'PUT' })
    const loseToken: Fault = {
      kind: 'change',
      change: (answer) => delete answer.headers['x-ms-meta-holdfast_put'],
    }
    site.endpoint.plan(loseToken, { method: 'HEAD' })

    assert.match((await failureOf(site.store.putIfAbsent('key', bytes))).message, /expected the metadata/)
    assert.equal(await site.store.putIfAbsent('key', bytes), 'exists')
  })

  for (const [status, code] of [
    [409, 'BlobAlreadyExists'],
    [412, 'ConditionNotMet'],
    [409, 'BlobImmutableDueToPolicy'],
    [403, 'UnauthorizedBlobOverwrite'],
    [403, 'AuthorizationPermissionMismatch'],
  ] as const) {
    test(`asks whose object it is that is in the way: ${code} (N4)`, async () => {
      await using site = await makeSite()
      site.endpoint.put('p/taken', Buffer.from('of others'))
      site.endpoint.plan({ kind: 'refuse', status, code }, { method: 'PUT' })

      assert.equal(await site.store.putIfAbsent('taken', bytes), 'exists')
      assert.equal(await site.store.putIfAbsent('free', bytes), 'created')
    })
  }

  for (const [name, fault] of [
    ['is cut', { kind: 'cut-body', bytes: 3 }],
    ['is cut at its beginning', { kind: 'cut-body', bytes: 0 }],
    ['stops coming', { kind: 'stall-body', bytes: 3 }],
    ['is compressed on the way', change((answer) => compress(answer))],
    [
      'is shorter than its range',
      change((answer) => Object.assign(answer, { body: answer.body.subarray(1) })),
    ],
    [
      'is of another range',
      change((answer) => Object.assign(answer.headers, { 'content-range': 'bytes 3-6/8' })),
    ],
    ['is of no range', change((answer) => delete answer.headers['content-range'])],
    ['is of no blob', change((answer) => delete answer.headers['x-ms-blob-type'])],
    ['has no tag', change((answer) => delete answer.headers['etag'])],
    ['has no length', change((answer) => (answer.headers['transfer-encoding'] = 'chunked'))],
  ] as readonly (readonly [string, Fault])[]) {
    test(`reads again when a body ${name} (N5)`, async () => {
      await using site = await makeSite({ maxRequests: 1 })
      await site.store.putIfAbsent('key', bytes)
      site.endpoint.plan(fault, { method: 'GET', times: 2 })

      assert.deepEqual(await site.store.get('key', { offset: 2, length: 4 }), bytes.slice(2, 6))
      assert.equal(site.endpoint.requests.filter(({ method }) => method === 'GET').length, 3)
    })
  }

  test('reads a whole object again that was compressed on the way (N5)', async () => {
    await using site = await makeSite()
    await site.store.putIfAbsent('key', bytes)
    site.endpoint.plan(
      change((answer) => compress(answer)),
      { method: 'GET' },
    )

    assert.deepEqual(await site.store.get('key'), bytes)
  })

  test('fails when the body stays wrong, and does not hand it out (N5)', async () => {
    await using site = await makeSite({ callTimeoutMs: 300 })
    site.endpoint.put('p/key', bytes)
    site.endpoint.plan({ kind: 'cut-body', bytes: 3 }, { method: 'GET', times: 10_000 })

    assert.match(
      (await failureOf(site.store.get('key'))).message,
      /reading object "key".*connection was lost/,
    )
  })

  test('asks for bytes as they are (N5)', async () => {
    await using site = await makeSite()

    await site.store.get('key')

    assert.equal(site.endpoint.requests[0]?.headers['accept-encoding'], 'identity')
  })

  for (const status of [200, 201, 403, 502]) {
    for (const text of ['<html><body>a portal</body></html>', 'not XML < at > all', '']) {
      test(`fails on what is no answer of Azure, and takes it for no absence: ${status} ${text} (N6)`, async () => {
        await using site = await makeSite({ callTimeoutMs: 100 })
        site.endpoint.put('p/key', bytes)
        const isOther = change((answer) =>
          Object.assign(answer, {
            status,
            headers: { 'content-type': 'text/xml' },
            body: Buffer.from(text),
          }),
        )
        site.endpoint.plan(isOther, { times: 100_000 })

        const errors = await Promise.all(methods.map((method) => failureOf(callOf(site.store, method))))

        for (const { code } of errors) assert.ok(['store-failed', 'store-unreachable'].includes(code))
      })
    }
  }

  test('deletes what may be deleted, and names what must be kept (N6, N13)', async () => {
    await using site = await makeSite()
    for (const key of ['a', 'b', 'c']) site.endpoint.put(`p/${key}`, bytes)
    site.endpoint.plan(
      { kind: 'refuse', status: 409, code: 'BlobImmutableDueToPolicy' },
      { method: 'DELETE', part: 'p/a' },
    )

    const error = await failureOf(site.store.delete(['a', 'b', 'c', 'absent']))

    assert.match(
      error.message,
      /1 of the objects are retained, the first is "a" \(BlobImmutableDueToPolicy\)/,
    )
    assert.match(error.hint ?? '', /retention/)
    assert.deepEqual([...site.endpoint.objects.keys()], ['p/a'])
  })

  test('tells whoever asks what a policy keeps and what may not be deleted, and deletes the rest (N13)', async () => {
    await using site = await makeSite()
    for (const key of ['a', 'b', 'c', 'd']) site.endpoint.put(`p/${key}`, bytes)
    for (const [key, status, code] of [
      ['a', 409, 'BlobImmutableDueToPolicy'],
      ['b', 409, 'BlobImmutableDueToLegalHold'],
      ['c', 403, 'AuthorizationPermissionMismatch'],
    ] as const) {
      site.endpoint.plan({ kind: 'refuse', status, code }, { method: 'DELETE', part: `p/${key}` })
    }
    const kept: KeptObject[] = []

    await site.store.delete(['a', 'b', 'c', 'd', 'absent'], { onKept: (object) => kept.push(object) })

    assert.deepEqual(
      kept.toSorted((one, other) => one.key.localeCompare(other.key)),
      [
        { key: 'a', reason: 'retained' },
        { key: 'b', reason: 'retained' },
        { key: 'c', reason: 'forbidden' },
      ],
    )
    assert.deepEqual([...site.endpoint.objects.keys()], ['p/a', 'p/b', 'p/c'])
  })

  for (const [status, code] of [
    [403, 'AuthorizationFailure'],
    [403, 'AuthenticationFailed'],
    [409, 'LeaseIdMissing'],
    [404, 'ContainerNotFound'],
  ] as const) {
    test(`takes no other refusal for an object that is kept: ${code} (N13)`, async () => {
      await using site = await makeSite()
      site.endpoint.put('p/a', bytes)
      site.endpoint.plan({ kind: 'refuse', status, code }, { method: 'DELETE', times: 1000 })

      const call = site.store.delete(['a'], { onKept: () => assert.fail('it is told as kept') })

      assert.match((await failureOf(call)).message, new RegExp(code))
    })
  }

  test('ends a deletion with the first refusal that is for all (N2)', async () => {
    await using site = await makeSite({ maxRequests: 2 })
    site.endpoint.plan(
      { kind: 'refuse', status: 403, code: 'AuthorizationPermissionMismatch' },
      { method: 'DELETE', times: 1000 },
    )

    const error = await failureOf(site.store.delete(Array.from({ length: 100 }, (_, index) => `k${index}`)))

    assert.match(error.message, /deleting object "k\d" of "azure:box\/p": the store does not allow it/)
    assert.ok(site.endpoint.requests.length <= 2)
  })

  test('lists all pages, also when each has to be asked for again (N7)', async () => {
    await using site = await makeSite()
    site.endpoint.pageSize = 7
    const keys = Array.from({ length: 100 }, (_, index) => `key-${String(index).padStart(3, '0')}`)
    keys.forEach((key) => site.endpoint.put(`p/${key}`, bytes))
    site.endpoint.put('p/folder/', Buffer.alloc(0))
    site.endpoint.put('pq/other', bytes)
    site.endpoint.plan({ kind: 'reset' }, { part: 'marker' })
    site.endpoint.plan({ kind: 'cut-body', bytes: 100 }, { part: 'marker', times: 3 })

    const listed = await collect(site.store.list(''))

    assert.deepEqual(
      listed.map(({ key }) => key),
      keys,
    )
  })

  for (const [name, replace] of [
    ['comes again with the same token', (text: string) => text.replace(/(<NextMarker>)[^<]*/, '$1p/a1')],
    ['is not in order', (text: string) => text.replace('<Name>p/a3</Name>', '<Name>p/a0</Name>')],
    [
      'holds what was not asked for',
      (text: string) => text.replace('<Name>p/a3</Name>', '<Name>q/a3</Name>'),
    ],
  ] as const) {
    test(`fails rather than listing less when a page ${name} (N7)`, async () => {
      await using site = await makeSite({ callTimeoutMs: 200 })
      site.endpoint.pageSize = 2
      for (const key of ['a0', 'a1', 'a2', 'a3', 'a4', 'a5']) site.endpoint.put(`p/${key}`, bytes)
      const isWrong = change((answer) =>
        Object.assign(answer, { body: Buffer.from(replace(answer.body.toString())) }),
      )
      site.endpoint.plan(isWrong, { part: 'comp=list', times: 10_000 })

      const error = await failureOf(collect(site.store.list('')))

      assert.match(error.message, /listing "" of "azure:box\/p": the store/)
    })
  }

  test('decides by the object and not by a listing that lags (N7)', async () => {
    await using site = await makeSite()
    await site.store.putIfAbsent('key', bytes)
    const lags = change((answer) =>
      Object.assign(answer, {
        body: Buffer.from(answer.body.toString().replace(/<Blob>.*<\/Blob>/, '')),
      }),
    )
    site.endpoint.plan(lags, { part: 'comp=list' })

    assert.deepEqual(await collect(site.store.list('')), [])
    assert.equal((await site.store.head('key'))?.sizeBytes, bytes.length)
    assert.equal(await site.store.putIfAbsent('key', bytes), 'exists')
  })

  test('gives up a connection on which nothing moves, and asks again (N8)', async () => {
    await using site = await makeSite()
    await site.store.head('key')
    site.endpoint.plan({ kind: 'stall' }, { method: 'PUT' })

    assert.equal(await site.store.putIfAbsent('key', bytes), 'created')
  })

  test('gives up at its deadline what comes too slowly (N8)', async () => {
    await using site = await makeSite({ callTimeoutMs: 400 })
    site.endpoint.put('p/slow', new Uint8Array(100_000))
    site.endpoint.plan({ kind: 'slow-body', bytesPerTick: 10, tickMs: 10 }, { times: 1000 })

    const error = await failureOf(site.store.get('slow'))

    assert.equal(error.code, 'store-unreachable')
    assert.match(error.message, /did not answer in time, given up after .* and one attempt/)
  })

  for (const method of methods) {
    test(`outlasts connections that are reset: ${method} (N9)`, async () => {
      await using site = await makeSite()
      site.endpoint.plan({ kind: 'reset' }, { times: 5 })

      await callOf(site.store, method)
    })
  }

  test('ends at once when its caller does, in a request and between two', async () => {
    for (const fault of [
      { kind: 'stall' },
      { ...serverBusy, headers: { 'retry-after': '60' } },
    ] as readonly Fault[]) {
      await using site = await makeSite({ idleTimeoutMs: 60_000, callTimeoutMs: 60_000 })
      site.endpoint.plan(fault, { times: 100 })
      const controller = new AbortController()
      const reason = new Error('stop')
      const call = site.store.putIfAbsent('key', bytes, { signal: controller.signal })
      setTimeout(() => controller.abort(reason), 100)

      await assert.rejects(call, (error) => error === reason)
      assert.equal(site.endpoint.objects.size, 0)
    }
  })

  test('asks for the access tier that it was told of', async () => {
    await using site = await makeSite({ accessTier: 'cold' })

    await site.store.putIfAbsent('key', bytes)

    assert.equal(site.endpoint.requests[0]?.headers['x-ms-access-tier'], 'Cold')
  })

  test('is found unfit when it ignores conditions (R24)', async () => {
    await using site = await makeSite()
    site.endpoint.ignoresConditions = true

    const { promises } = await probeStore(site.store, testContext())

    assert.deepEqual(
      promises.filter(({ fault }) => fault !== undefined).map(({ name }) => name),
      ['never overwrites', 'tells one of racing writers that it won'],
    )
  })

  test('repeats no secret that the store repeats, not even in the cause (4.2)', async () => {
    const sas = 'sv=2026-01-01&sp=rwdl&sig=signature%2Dcanary'
    await using site = await makeSite({ login: { kind: 'sas', read: () => Promise.resolve(`?${sas}\n`) } })
    site.endpoint.accepted.add('signature-canary')
    const text = `You sent signature-canary, signature%2Dcanary and ${sas}; request 7 failed`
    site.endpoint.plan(
      change((answer) =>
        Object.assign(
          answer,
          xml('Error', `<Code>Odd</Code><Message>${text.replaceAll('&', '&amp;')}</Message>`, 400),
        ),
      ),
    )

    const error = await failureOf(site.store.get('key'))

    assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /canary/)
    assert.match(String(error.cause), /Odd \(400\): .*request 7 failed/)
  })

  test('never repeats what the store says, which may be anything', async () => {
    await using site = await makeSite()
    site.endpoint.plan({ kind: 'refuse', status: 403, code: 'secret canary' }, { times: 100 })

    const error = await failureOf(site.store.get('key'))

    assert.doesNotMatch(`${error.message} ${error.hint}`, /canary|text of the server/)
  })
})

const bytes = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7)

const serverBusy = { kind: 'refuse', status: 503, code: 'ServerBusy' } as const

const busy = (): Answer => xml('Error', '<Code>InternalError</Code>', 500)

function change(how: (answer: Answer) => void): Fault {
  return { kind: 'change', change: how }
}

interface Site extends AsyncDisposable {
  readonly endpoint: AzureEndpoint
  readonly store: ObjectStore
}

/** Little patience, so that the tests are quick. */
const hasty: Partial<RetryPolicy> = { firstWaitMs: 1, longestWaitMs: 5, firstAnswerTimeoutMs: 2000 }

async function makeSite(options: Partial<AzureStoreOptions> = {}, certificate?: string): Promise<Site> {
  await using opened = new AsyncDisposableStack()
  const endpoint = opened.use(await AzureEndpoint.start(certificate))
  const location = { container: 'box', keyPrefix: 'p/' }
  const context = { clock: systemClock, policy: hasty }
  const store = opened.use(await openAzureStore(location, { ...endpoint.options, ...options }, context))
  const owned = opened.move()
  return { endpoint, store, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

function callOf(store: ObjectStore, method: (typeof methods)[number]): Promise<unknown> {
  switch (method) {
    case 'get':
      return store.get('key')
    case 'head':
      return store.head('key')
    case 'put':
      return store.putIfAbsent('key', bytes)
    case 'delete':
      return store.delete(['key'])
    case 'list':
      return collect(store.list(''))
  }
}

async function failureOf(call: Promise<unknown>): Promise<OperationError> {
  const error: unknown = await call.then(
    () => assert.fail('it succeeded'),
    (reason: unknown) => reason,
  )
  if (!isOperationError(error)) throw error
  return error
}

function compress(answer: Answer): void {
  Object.assign(answer, { body: gzipSync(answer.body) })
  Object.assign(answer.headers, { 'content-encoding': 'gzip' })
}
