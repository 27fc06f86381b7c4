import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { testContext } from '../../../test/support/repository.ts'
import { S3Endpoint } from '../../../test/support/s3-endpoint/s3-endpoint.ts'
import { pem, xml, type Fault, type Strike } from '../../../test/support/scripted-endpoint.ts'
import { collect, describeStoreContract } from '../../../test/support/store-contract.ts'
import { isOperationError, type OperationError } from '../../domain/operation-error.ts'
import { systemClock } from '../../platform/system-clock.ts'
import type { ObjectStore } from '../object-store.ts'
import { probeStore } from '../probe-store.ts'
import type { RetryPolicy } from '../call-with-retry.ts'
import type { S3Credentials, S3StoreOptions } from './s3-options.ts'
import { openS3Store } from './s3-store.ts'

describeStoreContract('an S3 store on our own endpoint', async () => {
  // Both ends are this process: while one computes the other waits.
  const site = await makeSite({ idleTimeoutMs: 30_000 })
  return { store: site.store, [Symbol.asyncDispose]: () => site[Symbol.asyncDispose]() }
})

describe('an S3 store', () => {
  for (const [status, code] of [
    [500, 'InternalError'],
    [502, 'BadGateway'],
    [503, 'SlowDown'],
    [503, 'ServiceUnavailable'],
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
    site.endpoint.plan({ kind: 'refuse', status: 503, code: 'SlowDown' }, { times: 10_000 })

    const error = await failureOf(site.store.putIfAbsent('key', bytes))

    assert.equal(error.code, 'store-failed')
    assert.match(
      error.message,
      /storing object "key" of "s3:bucket\/p".*SlowDown.*given up after .* attempts/,
    )
    assert.ok(site.endpoint.requests.length > 2)
  })

  test('says why a call takes long before its caller gives up, once for all calls (N1)', async () => {
    await using endpoint = await S3Endpoint.start()
    endpoint.plan({ kind: 'refuse', status: 503, code: 'SlowDown' }, { times: 10_000 })
    const context = testContext()
    const place = { bucket: 'bucket', keyPrefix: '' }
    const policy = { ...hasty, maxAttempts: 100_000 }
    await using store = await openS3Store(place, endpoint.options, { ...context, policy })
    const signal = AbortSignal.timeout(2500)

    await Promise.allSettled([store.get('a', undefined, { signal }), store.get('b', undefined, { signal })])

    assert.equal(context.events.length, 1)
    assert.match(JSON.stringify(context.events), /reading object .*SlowDown.*it is being tried again/)
  })

  test('leaves a store alone as long as it asks for (N1)', async () => {
    await using site = await makeSite({ callTimeoutMs: 300 })
    site.endpoint.plan({ kind: 'refuse', status: 503, code: 'SlowDown', headers: { 'retry-after': '60' } })

    await failureOf(site.store.get('key'))

    assert.equal(site.endpoint.requests.length, 1)
  })

  test('never has more requests under way than it may (N1)', async () => {
    await using site = await makeSite({ maxRequests: 3 })
    await site.store.putIfAbsent('key-0', bytes)
    site.endpoint.plan({ kind: 'stall' }, { method: 'HEAD', times: 3 })

    const calls = Array.from({ length: 10 }, (_, index) => site.store.head(`key-${index}`))
    await new Promise((resolve) => {
      setTimeout(resolve, 200)
    })

    assert.equal(site.endpoint.requests.length, 1 + 3)
    await Promise.all(calls)
  })

  for (const [name, fault, message] of [
    ['an unknown key', { status: 403, code: 'InvalidAccessKeyId' }, /does not know the access key/],
    ['a wrong secret', { status: 403, code: 'SignatureDoesNotMatch' }, /secret key is not the one/],
    ['an expired token', { status: 400, code: 'ExpiredToken' }, /session token has expired/],
    ['an invalid token', { status: 403, code: 'InvalidToken' }, /session token has expired or is not valid/],
    ['no permission', { status: 403, code: 'AccessDenied' }, /does not allow it/],
    ['401', { status: 401, code: 'Unauthorized' }, /answered 401/],
    [
      'another region',
      { status: 301, code: 'PermanentRedirect', headers: { 'x-amz-bucket-region': 'eu-west-3' } },
      /in region "us-east-1", found it in "eu-west-3"/,
    ],
    [
      'a clock that is wrong',
      {
        status: 403,
        code: 'RequestTimeTooSkewed',
        headers: { date: new Date(Date.now() - 3 * 3_600_000 - 60_000).toUTCString() },
      },
      /clock of this machine is 3 h 1 min ahead of the clock of the store/,
    ],
    ['no such bucket', { status: 404, code: 'NoSuchBucket' }, /expected the bucket "bucket", found none/],
    ['an archived object', { status: 403, code: 'InvalidObjectState' }, /in an archive/],
    ['what it does not have', { status: 501, code: 'NotImplemented' }, /does not have what is asked/],
  ] as const) {
    for (const method of ['get', 'head', 'put', 'delete', 'list'] as const) {
      test(`fails at once on ${name}, and takes it for no absence: ${method} (N2)`, async () => {
        await using site = await makeSite()
        site.endpoint.plan({ kind: 'refuse', ...fault }, { times: 1000 })

        const error = await failureOf(callOf(site.store, method))

        assert.match(error.message, message)
        assert.ok(error.hint !== undefined)
        assert.ok(site.endpoint.requests.length <= 2)
      })
    }
  }

  test('tells the right region out of a malformed authorization (N2)', async () => {
    await using site = await makeSite()
    site.endpoint.plan({
      kind: 'change',
      change: (answer) =>
        Object.assign(
          answer,
          xml('Error', '<Code>AuthorizationHeaderMalformed</Code><Region>eu-north-1</Region>', 400),
        ),
    })

    assert.match((await failureOf(site.store.get('key'))).message, /found it in "eu-north-1"/)
  })

  test('checks signatures on this endpoint, so that a wrong secret is refused (N2)', async () => {
    await using site = await makeSite({
      readCredentials: () => Promise.resolve({ accessKeyId: 'KEY', secretAccessKey: 'wrong-canary' }),
    })

    const error = await failureOf(site.store.get('key'))

    assert.match(error.message, /SignatureDoesNotMatch/)
    assert.doesNotMatch(`${error.message} ${error.hint}`, /canary/)
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

  test('says that nothing listens, and that a name is not resolved (N2)', async () => {
    await using site = await makeSite({ endpoint: 'http://127.0.0.1:1' })
    await using nowhere = await makeSite({ endpoint: 'https://store.invalid' })

    const refused = await failureOf(site.store.get('key'))
    const unknown = await failureOf(nowhere.store.get('key'))

    assert.equal(refused.code, 'store-unreachable')
    assert.match(refused.message, /nothing listens where the store should be at "http:\/\/127\.0\.0\.1:1"/)
    assert.equal(unknown.code, 'store-unreachable')
    assert.match(unknown.message, /name of the store at "https:\/\/store\.invalid" was not resolved/)
  })
})

describe('an S3 store whose answers are lost, cut or wrong', () => {
  for (const fault of [
    { kind: 'lose-answer' },
    {
      kind: 'change',
      change: (answer) => Object.assign(answer, xml('Error', '<Code>InternalError</Code>', 500)),
    },
    { kind: 'change', change: (answer) => delete answer.headers['etag'] },
  ] as readonly Fault[]) {
    test(`knows its own object again when the answer was lost: ${fault.kind} (N3)`, async () => {
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
      change: (answer) => delete answer.headers['x-amz-meta-holdfast-put'],
    }
    site.endpoint.plan(loseToken, { method: 'HEAD' })

    assert.match((await failureOf(site.store.putIfAbsent('key', bytes))).message, /expected the metadata/)
    assert.equal(await site.store.putIfAbsent('key', bytes), 'exists')
  })

  test('tries again on a conflict, and tells what somebody else stored meanwhile (N4)', async () => {
    await using site = await makeSite()
    site.endpoint.plan({ kind: 'refuse', status: 409, code: 'ConditionalRequestConflict' }, { times: 3 })

    assert.equal(await site.store.putIfAbsent('key', bytes), 'created')

    site.endpoint.put('p/taken', Buffer.from('of others'))
    site.endpoint.plan({ kind: 'refuse', status: 409, code: 'ConditionalRequestConflict' }, { method: 'PUT' })
    assert.equal(await site.store.putIfAbsent('taken', bytes), 'exists')
    assert.deepEqual(await site.store.get('taken'), new Uint8Array(Buffer.from('of others')))
  })

  for (const [name, fault] of [
    ['is cut', { kind: 'cut-body', bytes: 3 }],
    ['is cut at its beginning', { kind: 'cut-body', bytes: 0 }],
    ['stops coming', { kind: 'stall-body', bytes: 3 }],
    ['is compressed on the way', { kind: 'change', change: (answer) => compress(answer) }],
    [
      'is shorter than its range',
      { kind: 'change', change: (answer) => Object.assign(answer, { body: answer.body.subarray(1) }) },
    ],
    [
      'is of another range',
      {
        kind: 'change',
        change: (answer) => Object.assign(answer.headers, { 'content-range': 'bytes 3-6/8' }),
      },
    ],
    ['is of no range', { kind: 'change', change: (answer) => delete answer.headers['content-range'] }],
  ] as readonly (readonly [string, Fault])[]) {
    test(`reads again when a body ${name} (N5)`, async () => {
      await using site = await makeSite()
      await site.store.putIfAbsent('key', bytes)
      site.endpoint.plan(fault, { method: 'GET', times: 2 })

      assert.deepEqual(await site.store.get('key', { offset: 2, length: 4 }), bytes.slice(2, 6))
      assert.equal(site.endpoint.requests.filter(({ method }) => method === 'GET').length, 3)
    })
  }

  test('fails when the body stays wrong, and does not hand it out (N5)', async () => {
    await using site = await makeSite({ callTimeoutMs: 300 })
    await site.store.putIfAbsent('key', bytes)
    site.endpoint.plan({ kind: 'cut-body', bytes: 3 }, { method: 'GET', times: 10_000 })

    assert.match((await failureOf(site.store.get('key'))).message, /reading object "key"/)
  })

  test('reads again when the bytes are not those of the checksum (N5)', async () => {
    await using site = await makeSite({ hasChecksums: true })
    await site.store.putIfAbsent('key', bytes)
    const checksum: Fault = {
      kind: 'change',
      change: (answer) => Object.assign(answer.headers, { 'x-amz-checksum-crc32': 'AAAAAA==' }),
    }
    site.endpoint.plan(checksum, { method: 'GET', times: 2 })

    assert.deepEqual(await site.store.get('key'), bytes)
    assert.equal(site.endpoint.requests.length, 1 + 3)
  })

  for (const status of [200, 403, 502]) {
    for (const text of [
      '<html><body>a portal</body></html>',
      'not XML < at > all',
      '<ListBucketResult><Name>',
      '',
    ]) {
      test(`fails on what is no answer of S3, and takes it for no absence: ${status} ${text} (N6)`, async () => {
        await using site = await makeSite({ callTimeoutMs: 200 })
        await site.store.putIfAbsent('key', bytes)
        site.endpoint.plan(
          { kind: 'change', change: (answer) => Object.assign(answer, { status, body: Buffer.from(text) }) },
          { times: 100_000 },
        )

        for (const method of ['get', 'head', 'put', 'delete', 'list'] as const) {
          if (status === 200 && (method === 'get' || method === 'head')) continue // nothing tells it from an object
          const error = await failureOf(callOf(site.store, method))
          assert.ok(['store-failed', 'store-unreachable'].includes(error.code), method)
        }
      })
    }
  }

  test('asks for bytes as they are (N5)', async () => {
    await using site = await makeSite()

    await site.store.get('key')

    assert.equal(site.endpoint.requests[0]?.headers['accept-encoding'], 'identity')
  })

  for (const [name, call] of [
    ['a deletion', (store: ObjectStore) => store.delete(['a', 'b'])],
    ['a listing', (store: ObjectStore) => collect(store.list(''))],
  ] as const) {
    test(`takes an error in an answer of success for an error: ${name} (N6)`, async () => {
      await using site = await makeSite({ callTimeoutMs: 300 })
      const isError: Fault = {
        kind: 'change',
        change: (answer) => Object.assign(answer, xml('Error', '<Code>InternalError</Code>')),
      }
      site.endpoint.plan(isError, { times: 2 })
      await call(site.store)
      assert.equal(site.endpoint.requests.length, 3)

      site.endpoint.plan(isError, { times: 10_000 })
      assert.equal((await failureOf(call(site.store))).code, 'store-failed')
    })
  }

  test('deletes again what a deletion left, and names what must not be deleted (N6, N13)', async () => {
    await using site = await makeSite()
    site.endpoint.plan(keep('InternalError'), { method: 'POST' })
    await site.store.delete(['a', 'b', 'c'])
    const [first, second] = site.endpoint.requests
    assert.match(String(second?.body), /p\/a/)
    assert.doesNotMatch(String(second?.body), /p\/b/)
    assert.match(String(first?.body), /p\/b/)

    site.endpoint.plan(keep('AccessDenied'), { method: 'POST' })
    const error = await failureOf(site.store.delete(['a', 'b']))
    assert.match(error.message, /1 of the objects are still there, the first is "a": .* \(AccessDenied\)/)
    assert.match(error.hint ?? '', /retention/)
  })

  test('deletes 2500 objects with three requests, each key once (N6)', async () => {
    await using site = await makeSite()
    const keys = Array.from({ length: 2500 }, (_, index) => `key-${index}`)

    await site.store.delete([...keys, ...keys])

    assert.equal(site.endpoint.requests.length, 3)
  })

  test('lists all pages, also when each has to be asked for again (N7)', async () => {
    await using site = await makeSite()
    site.endpoint.pageSize = 7
    const keys = Array.from({ length: 100 }, (_, index) => `key-${String(index).padStart(3, '0')}`)
    keys.forEach((key) => site.endpoint.put(`p/${key}`, bytes))
    site.endpoint.put('p/folder/', Buffer.alloc(0))
    site.endpoint.put('pq/other', bytes)
    site.endpoint.plan({ kind: 'reset' }, { part: 'continuation-token' })
    site.endpoint.plan({ kind: 'cut-body', bytes: 100 }, { part: 'continuation-token', times: 3 })

    const listed = await collect(site.store.list(''))

    assert.deepEqual(
      listed.map(({ key }) => key),
      keys,
    )
  })

  for (const [name, change] of [
    [
      'comes again with the same token',
      (text: string) => text.replace(/(<NextContinuationToken>)[^<]*/, '$1p/a1'),
    ],
    ['is not in order', (text: string) => text.replace('<Key>p/a3</Key>', '<Key>p/a0</Key>')],
  ] as const) {
    test(`fails rather than listing less when a page ${name} (N7)`, async () => {
      await using site = await makeSite()
      site.endpoint.pageSize = 2
      for (const key of ['a0', 'a1', 'a2', 'a3', 'a4', 'a5']) site.endpoint.put(`p/${key}`, bytes)
      site.endpoint.plan(
        {
          kind: 'change',
          change: (answer) => Object.assign(answer, { body: Buffer.from(change(answer.body.toString())) }),
        },
        { part: 'list-type', times: 10 },
      )

      assert.match(
        (await failureOf(collect(site.store.list('')))).message,
        /listing "" of "s3:bucket\/p": the store/,
      )
    })
  }

  test('decides by the object and not by a listing that lags (N7)', async () => {
    await using site = await makeSite()
    await site.store.putIfAbsent('key', bytes)
    site.endpoint.plan(
      {
        kind: 'change',
        change: (answer) =>
          Object.assign(answer, {
            body: Buffer.from(answer.body.toString().replace(/<Contents>.*<\/Contents>/, '')),
          }),
      },
      { part: 'list-type' },
    )

    assert.deepEqual(await collect(site.store.list('')), [])
    assert.deepEqual(await site.store.get('key'), bytes)
    assert.equal((await site.store.head('key'))?.sizeBytes, bytes.length)
    assert.equal(await site.store.putIfAbsent('key', bytes), 'exists')
  })

  test('gives up a connection on which nothing moves, and asks again (N8)', async () => {
    await using site = await makeSite()
    await site.store.putIfAbsent('key', bytes)
    site.endpoint.plan({ kind: 'stall' }, { method: 'GET' })

    assert.deepEqual(await site.store.get('key'), bytes)
  })

  test('gives up at its deadline what comes too slowly (N8)', async () => {
    await using site = await makeSite({ callTimeoutMs: 400 })
    site.endpoint.put('p/slow', new Uint8Array(100_000))
    site.endpoint.plan({ kind: 'slow-body', bytesPerTick: 10, tickMs: 10 }, { times: 1000 })

    const error = await failureOf(site.store.get('slow'))

    assert.equal(error.code, 'store-unreachable')
    assert.match(error.message, /did not answer in time, given up after .* and one attempt/)
  })

  for (const method of ['get', 'head', 'put', 'delete', 'list'] as const) {
    test(`outlasts connections that are reset: ${method} (N9)`, async () => {
      await using site = await makeSite()
      site.endpoint.plan({ kind: 'reset' }, { times: 5 })

      await callOf(site.store, method)
    })
  }

  test('ends at once when its caller does, in a request and between two', async () => {
    for (const fault of [
      { kind: 'stall' },
      { kind: 'refuse', status: 503, code: 'SlowDown', headers: { 'retry-after': '60' } },
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

  test('repeats no secret that the store repeats, not even in the cause (4.2)', async () => {
    const secrets = { accessKeyId: 'KEY', secretAccessKey: 'secret-canary', sessionToken: 'token-canary' }
    await using site = await makeSite({ readCredentials: () => Promise.resolve(secrets) })
    const text = 'You sent x-amz-security-token: token-canary; and secret-canary too; request 7 failed'
    site.endpoint.plan({
      kind: 'change',
      change: (answer) =>
        Object.assign(answer, xml('Error', `<Code>Odd</Code><Message>${text}</Message>`, 400)),
    })

    const error = await failureOf(site.store.get('key'))

    assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /canary/)
    assert.match(String(error.cause), /Odd \(400\): .*request 7 failed/)
  })

  for (const hasChecksums of [false, true]) {
    test(`signs what it sends, with the checksums of AWS or without: ${hasChecksums}`, async () => {
      await using site = await makeSite({ hasChecksums, caCertificates: pem('ca.pem') }, 'trusted')

      await site.store.putIfAbsent('key', bytes)
      await site.store.delete(['other'])

      assert.deepEqual(await site.store.get('key'), bytes)
      assert.equal(site.endpoint.requests[0]?.headers['x-amz-checksum-crc32'] !== undefined, hasChecksums)
    })
  }

  test('asks for the encryption and the storage class that it was told of', async () => {
    await using site = await makeSite({
      serverSideEncryption: 'aws:kms',
      kmsKeyId: 'arn:aws:kms:eu-west-1:1:key/2',
      storageClass: 'STANDARD_IA',
    })

    await site.store.putIfAbsent('key', bytes)

    const { headers } = site.endpoint.requests[0] ?? assert.fail('nothing was asked')
    assert.equal(headers['x-amz-server-side-encryption'], 'aws:kms')
    assert.equal(headers['x-amz-server-side-encryption-aws-kms-key-id'], 'arn:aws:kms:eu-west-1:1:key/2')
    assert.equal(headers['x-amz-storage-class'], 'STANDARD_IA')
  })

  test('reads keys with a session token again when they have become old', async () => {
    let reads = 0
    // Read in the past, they have a minute left, which is too little for the SDK.
    const clock = { ...systemClock, now: () => Date.now() - 14 * 60_000 }
    await using site = await makeSite()
    const readCredentials = (): Promise<S3Credentials> => {
      reads += 1
      return Promise.resolve({ ...site.endpoint.keys, sessionToken: `token-${reads}` })
    }
    const options = { ...site.endpoint.options, readCredentials }
    await using store = await openS3Store({ bucket: 'bucket', keyPrefix: '' }, options, { clock })

    await store.head('key')
    await store.head('key')

    const tokens = new Set(site.endpoint.requests.map(({ headers }) => headers['x-amz-security-token']))
    assert.ok(tokens.size > 1, `${reads} reads`)
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

  test('never repeats what the store says, which may be anything', async () => {
    await using site = await makeSite()
    site.endpoint.plan({ kind: 'refuse', status: 403, code: 'secret canary' }, { times: 100 })

    const error = await failureOf(site.store.get('key'))

    assert.doesNotMatch(`${error.message} ${error.hint}`, /canary|text of the server/)
  })
})

const bytes = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7)

interface Site extends AsyncDisposable {
  readonly endpoint: S3Endpoint & { plan(fault: Fault, strike?: Strike): void }
  readonly store: ObjectStore
}

/** Little patience, so that the tests are quick. */
const hasty: Partial<RetryPolicy> = { firstWaitMs: 1, longestWaitMs: 5, firstAnswerTimeoutMs: 2000 }

async function makeSite(options: Partial<S3StoreOptions> = {}, certificate?: string): Promise<Site> {
  await using opened = new AsyncDisposableStack()
  const endpoint = opened.use(await S3Endpoint.start(certificate))
  const location = { bucket: 'bucket', keyPrefix: 'p/' }
  const context = { clock: systemClock, policy: hasty }
  const store = opened.use(await openS3Store(location, { ...endpoint.options, ...options }, context))
  const owned = opened.move()
  return { endpoint, store, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

function callOf(store: ObjectStore, method: 'get' | 'head' | 'put' | 'delete' | 'list'): Promise<unknown> {
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

function compress(answer: { headers: Record<string, string>; body: Buffer }): void {
  Object.assign(answer, { body: gzipSync(answer.body) })
  Object.assign(answer.headers, { 'content-encoding': 'gzip' })
}

function keep(code: string): Fault {
  return {
    kind: 'change',
    change: (answer) => Object.assign(answer, kept(answer.body.toString(), code)),
  }
}

/** The answer to a deletion, in which the first key was not deleted. */
function kept(text: string, code: string): ReturnType<typeof xml> {
  const content = /<DeleteResult>(.*)<\/DeleteResult>/.exec(text)?.[1] ?? ''
  return xml(
    'DeleteResult',
    content.replace(/<Deleted>(<Key>[^<]*<\/Key>)<\/Deleted>/, `<Error>$1<Code>${code}</Code></Error>`),
  )
}
