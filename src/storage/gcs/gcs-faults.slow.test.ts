import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { GcsEndpoint, refusal } from '../../../test/support/gcs-endpoint/gcs-endpoint.ts'
import { json } from '../../../test/support/gcs-endpoint/token-server.ts'
import { testContext } from '../../../test/support/repository.ts'
import { pem, type Answer, type Fault } from '../../../test/support/scripted-endpoint.ts'
import { collect } from '../../../test/support/store-contract.ts'
import { waitUntil } from '../../../test/support/wait.ts'
import { isOperationError, type OperationError } from '../../domain/operation-error.ts'
import { systemClock } from '../../platform/system-clock.ts'
import type { RetryPolicy } from '../call-with-retry.ts'
import type { KeptObject, ObjectStore } from '../object-store.ts'
import { probeStore } from '../probe-store.ts'
import type { GcsStoreOptions } from './gcs-options.ts'
import { createGcsStore, openGcsStore } from './gcs-store.ts'

const methods = ['get', 'head', 'put', 'delete', 'list'] as const

const denied =
  "backup@project.iam.gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage object. Permission 'storage.objects.get' denied on resource (or it may not exist)."

describe('a store in Google Cloud Storage', () => {
  for (const [status, reason] of [
    [500, 'internalError'],
    [502, 'badGateway'],
    [503, 'backendError'],
    [504, 'gatewayTimeout'],
    [429, 'rateLimitExceeded'],
    [403, 'userRateLimitExceeded'],
    [408, 'uploadBrokenConnection'],
  ] as const) {
    test(`outlasts a burst of ${status} ${reason} (N1)`, async () => {
      await using site = await makeSite()
      site.endpoint.plan(refuse(status, reason), { part: '/storage/', times: 12 })

      assert.equal(await site.store.putIfAbsent('key', bytes), 'created')
      assert.deepEqual(await site.store.get('key'), bytes)
    })
  }

  test('gives up at its deadline, and says how often it has tried (N1)', async () => {
    await using site = await makeSite({ callTimeoutMs: 300 })
    site.endpoint.plan(refuse(429, 'rateLimitExceeded'), { part: '/storage/', times: 10_000 })

    const error = await failureOf(site.store.putIfAbsent('key', bytes))

    assert.equal(error.code, 'store-failed')
    assert.match(
      error.message,
      /storing object "key" of "gcs:bucket\/p".*rateLimitExceeded.*given up after .* attempts/,
    )
    assert.ok(site.endpoint.storeRequests.length > 2)
  })

  test('leaves a store alone as long as it asks for (N1)', async () => {
    await using site = await makeSite({ callTimeoutMs: 300 })
    site.endpoint.plan(refuse(503, 'backendError', { headers: { 'retry-after': '60' } }), {
      part: '/storage/',
    })

    await failureOf(site.store.get('key'))

    assert.equal(site.endpoint.storeRequests.length, 1)
  })

  test('never has more requests under way than it may, deletions too (N1)', async () => {
    await using site = await makeSite({ maxRequests: 3 })
    await site.store.putIfAbsent('key-0', bytes)
    const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`)
    site.endpoint.plan({ kind: 'stall' }, { method: 'DELETE', times: 3 })

    const deletion = site.store.delete(keys)
    await new Promise((resolve) => {
      setTimeout(resolve, 200)
    })

    assert.equal(site.endpoint.storeRequests.length, 1 + 3)
    await deletion
    assert.equal(site.endpoint.objects.size, 0)
  })

  for (const [name, fault, message] of [
    [
      'an account that may not',
      refuse(403, 'forbidden', { message: denied }),
      /\(forbidden: storage\.objects\.get\)/,
    ],
    ['an account without words', refuse(403, 'forbidden'), /does not allow it \(forbidden\)/],
    ['a token that is not for storage', refuse(403, 'insufficientPermissions'), /not for storage/],
    ['a token that it does not take', refuse(401, 'authError'), /does not take the credentials/],
    ['401', refuse(401, 'odd'), /does not take the credentials.*answered 401/],
    [
      'no such bucket',
      refuse(404, 'notFound', { message: 'The specified bucket does not exist.' }),
      /found none of that/,
    ],
    ['a project without billing', refuse(403, 'accountDisabled'), /closed or does not pay/],
    ['an API that is off', refuse(403, 'accessNotConfigured'), /API of Cloud Storage is not enabled/],
    ['a bucket that lets others pay', refuse(400, 'userProjectMissing'), /lets whoever asks pay/],
    ['a key of Cloud KMS', refuse(403, 'cloudKmsEncryptionKeyNotFound'), /cannot encrypt with the key/],
    ['a quota', refuse(403, 'quotaExceeded'), /quota of the project is used up/],
    ['a redirection', refuse(302, ''), /the store answered 302 \(without a reason\)/],
    ['a name out of a prototype', refuse(400, 'constructor'), /the store answered 400 \(constructor\)/],
  ] as const) {
    for (const method of methods) {
      test(`fails at once on ${name}, and takes it for no absence: ${method} (N2)`, async () => {
        await using site = await makeSite()
        site.endpoint.plan(fault, { part: '/storage/', times: 1000 })

        const error = await failureOf(callOf(site.store, method))

        assert.match(error.message, message)
        assert.ok(error.hint !== undefined)
        assert.ok(site.endpoint.storeRequests.length <= 2)
      })
    }
  }

  for (const [certificate, options, message] of [
    ['trusted', {}, /certificate of the store is from an unknown authority/],
    ['other-host', { caCertificates: pem('ca.pem') }, /certificate of the store is for another host name/],
    ['expired', { caCertificates: pem('ca.pem') }, /certificate of the store has expired/],
  ] as const) {
    test(`refuses a certificate that is ${certificate} ${Object.keys(options).join()} (N2)`, async () => {
      await using site = await makeSite({ ...options, credentials: { kind: 'none' } }, certificate)

      const error = await failureOf(site.store.get('key'))

      assert.equal(error.code, 'store-unreachable')
      assert.match(error.message, message)
      assert.equal(site.endpoint.requests.length, 0)
    })
  }

  test('takes a certificate of an authority that it was told of, for tokens too (N2)', async () => {
    await using site = await makeSite({ caCertificates: pem('ca.pem') }, 'trusted')

    assert.equal(await site.store.putIfAbsent('key', bytes), 'created')
    assert.deepEqual(await site.store.get('key'), bytes)
  })

  test('says that nothing listens, and that a name is not resolved (N2)', async () => {
    const impatient = { credentials: { kind: 'none' }, callTimeoutMs: 200 } as const
    await using site = await makeSite({ ...impatient, endpoint: 'http://127.0.0.1:1' })
    await using nowhere = await makeSite({ ...impatient, endpoint: 'https://store.invalid' })

    const refused = await failureOf(site.store.get('key'))
    const unknown = await failureOf(nowhere.store.get('key'))

    assert.equal(refused.code, 'store-unreachable')
    assert.match(refused.message, /nothing listens where the store should be at "http:\/\/127\.0\.0\.1:1"/)
    assert.equal(unknown.code, 'store-unreachable')
    assert.match(unknown.message, /name of the store at "https:\/\/store\.invalid" was not resolved/)
  })
})

describe('a store in Google Cloud Storage whose answers are lost, cut or wrong', () => {
  for (const [name, fault] of [
    ['lost', { kind: 'lose-answer' }],
    ['another one', change((answer) => Object.assign(answer, refusal(500, 'internalError')))],
    ['without a checksum', change((answer) => editJson(answer, (told) => ({ ...told, crc32c: undefined })))],
    ['of other bytes', change((answer) => editJson(answer, (told) => ({ ...told, crc32c: 'AAAAAA==' })))],
    ['of another size', change((answer) => editJson(answer, (told) => ({ ...told, size: '7' })))],
    ['of another object', change((answer) => editJson(answer, (told) => ({ ...told, name: 'p/other' })))],
  ] as readonly (readonly [string, Fault])[]) {
    test(`knows its own object again when the answer was ${name} (N3)`, async () => {
      await using site = await makeSite()
      site.endpoint.plan(fault, { part: '/upload/', times: 2 })

      assert.equal(await site.store.putIfAbsent('key', bytes), 'created')
      assert.ok(site.endpoint.storeRequests.filter(({ path }) => path.startsWith('/upload/')).length > 1)
      assert.deepEqual(await site.store.get('key'), bytes)
    })
  }

  test('tells one of two callers with the same bytes that it created them, when both answers are lost (N3)', async () => {
    await using site = await makeSite()
    await using other = await makeSite(site.endpoint.options)
    site.endpoint.plan({ kind: 'lose-answer' }, { part: '/upload/', times: 2 })

    const answers = await Promise.all([
      site.store.putIfAbsent('key', bytes),
      other.store.putIfAbsent('key', bytes),
    ])

    assert.deepEqual(answers.toSorted(), ['created', 'exists'])
  })

  test('fails when it cannot tell whose object it is, rather than guessing (N3)', async () => {
    await using site = await makeSite()
    site.endpoint.plan({ kind: 'lose-answer' }, { part: '/upload/' })
    const loseToken = change((answer) => editJson(answer, (told) => ({ ...told, metadata: undefined })))
    site.endpoint.plan(loseToken, { method: 'GET' })

    assert.match((await failureOf(site.store.putIfAbsent('key', bytes))).message, /expected the metadata/)
    assert.equal(await site.store.putIfAbsent('key', bytes), 'exists')
  })

  test('sends again what arrived as other bytes (N3)', async () => {
    await using site = await makeSite()
    const message = 'Provided CRC32C "a" doesn\'t match calculated CRC32C "b".'
    site.endpoint.plan(refuse(400, 'invalid', { message }), { part: '/upload/', times: 2 })

    assert.equal(await site.store.putIfAbsent('key', bytes), 'created')
  })

  test('tries again on a conflict, and tells what somebody else stored meanwhile (N4)', async () => {
    await using site = await makeSite()
    site.endpoint.plan(refuse(409, 'conflict'), { part: '/upload/', times: 3 })

    assert.equal(await site.store.putIfAbsent('key', bytes), 'created')

    site.endpoint.put('p/taken', Buffer.from('of others'))
    site.endpoint.plan(refuse(409, 'conflict'), { part: '/upload/' })
    assert.equal(await site.store.putIfAbsent('taken', bytes), 'exists')
    assert.deepEqual(await site.store.get('taken'), new Uint8Array(Buffer.from('of others')))
  })

  test('asks for an object that nobody has stored yet, with one request (R24)', async () => {
    await using site = await makeSite({ storageClass: 'NEARLINE', kmsKey: 'projects/p/key' })

    await site.store.putIfAbsent('key', bytes)

    const [asked] = site.endpoint.storeRequests
    assert.equal(site.endpoint.storeRequests.length, 1)
    assert.equal(asked?.query.get('ifGenerationMatch'), '0')
    assert.equal(asked.query.get('kmsKeyName'), 'projects/p/key')
    assert.equal(site.endpoint.objects.get('p/key')?.resource['storageClass'], 'NEARLINE')
  })

  for (const [name, fault] of [
    ['is cut', { kind: 'cut-body', bytes: 3 }],
    ['is cut at its beginning', { kind: 'cut-body', bytes: 0 }],
    ['stops coming', { kind: 'stall-body', bytes: 3 }],
    ['is compressed on the way', change(compress)],
    [
      'is shorter than its range',
      change((answer) => Object.assign(answer, { body: answer.body.subarray(1) })),
    ],
    [
      'is of another range',
      change(({ headers }) => Object.assign(headers, { 'content-range': 'bytes 3-6/8' })),
    ],
    ['begins elsewhere', change(({ headers }) => Object.assign(headers, { 'content-range': 'bytes 1-5/8' }))],
    ['is of no range', change(({ headers }) => delete headers['content-range'])],
    [
      'is the whole object',
      change((answer) => Object.assign(answer, { status: 200, body: Buffer.from(bytes) })),
    ],
    ['has no length', change(({ headers }) => Object.assign(headers, { 'transfer-encoding': 'chunked' }))],
  ] as readonly (readonly [string, Fault])[]) {
    test(`reads again when a body ${name} (N5)`, async () => {
      await using site = await makeSite()
      await site.store.putIfAbsent('key', bytes)
      site.endpoint.plan(fault, { part: 'alt=media', times: 2 })

      assert.deepEqual(await site.store.get('key', { offset: 2, length: 4 }), bytes.slice(2, 6))
      assert.equal(site.endpoint.storeRequests.length, 1 + 3)
    })
  }

  test('reads again when the bytes are not those of the checksum (N5)', async () => {
    await using site = await makeSite()
    await site.store.putIfAbsent('key', bytes)
    site.endpoint.plan(
      change((answer) => Object.assign(answer, { body: answer.body.map((byte) => byte ^ 1) })),
      { part: 'alt=media', times: 2 },
    )

    assert.deepEqual(await site.store.get('key'), bytes)
    assert.equal(site.endpoint.storeRequests.length, 1 + 3)
  })

  test('asks for bytes as they are, and stores them so that nothing is to be decoded (N5)', async () => {
    await using site = await makeSite()
    await site.store.putIfAbsent('key', bytes)

    await site.store.get('key')

    assert.equal(site.endpoint.storeRequests.at(-1)?.headers['accept-encoding'], 'identity')
    const { contentEncoding, cacheControl } = site.endpoint.objects.get('p/key')?.resource ?? {}
    assert.equal(contentEncoding, undefined)
    assert.match(String(cacheControl), /no-transform/)
  })

  for (const status of [200, 403, 404, 502]) {
    for (const text of ['<html><body>a portal</body></html>', '{"kind": "storage#', '{}', '']) {
      test(`fails on what is no answer of the store, and takes it for no absence: ${status} ${text} (N6)`, async () => {
        await using site = await makeSite({}, undefined, { maxAttempts: 3 })
        await site.store.putIfAbsent('key', bytes)
        site.endpoint.plan(
          change((answer) => Object.assign(answer, { status, headers: {}, body: Buffer.from(text) })),
          { part: '/storage/', times: 100_000 },
        )

        for (const method of methods) {
          if (status === 200 && method === 'get') continue // nothing tells it from an object
          const error = await failureOf(callOf(site.store, method))
          assert.ok(['store-failed', 'store-unreachable'].includes(error.code), method)
        }
      })
    }
  }

  test('asks a listing when the words for an absent object are others (N6)', async () => {
    await using site = await makeSite()
    site.endpoint.saysNotFound = 'There is none: '
    site.endpoint.put('p/key-2', bytes)

    assert.equal(await site.store.get('key'), undefined)
    assert.equal(await site.store.head('key'), undefined)
    await site.store.delete(['key'])

    site.endpoint.plan(
      change((answer) => Object.assign(answer, refusal(404, 'notFound', ''))),
      { part: '/o/' },
    )
    assert.deepEqual(await site.store.get('key-2'), bytes)
  })

  test('leaves what the store retains, deletes the others, and tells until when (N6, N13)', async () => {
    await using site = await makeSite()
    for (const key of ['a', 'b', 'c']) await site.store.putIfAbsent(key, bytes)
    site.endpoint.kept.set('p/a', {
      reason: 'retentionPolicyNotMet',
      message:
        "Object 'bucket/p/a' is subject to bucket's retention policy or object retention and cannot be deleted or overwritten until 2027-01-31T09:00:00.123456-08:00",
    })

    const error = await failureOf(site.store.delete(['a', 'b', 'c']))

    assert.match(error.message, /1 of the objects are still there, the first is "a"/)
    assert.match(error.message, /retained until 2027-01-31T09:00:00\.123456-08:00 \(retentionPolicyNotMet\)/)
    assert.match(error.hint ?? '', /retention of the objects ends/)
    assert.deepEqual([...site.endpoint.objects.keys()], ['p/a'])
  })

  test('tells a hold from a missing permission, which have the same name (N13)', async () => {
    await using site = await makeSite()
    await site.store.putIfAbsent('a', bytes)
    site.endpoint.kept.set('p/a', {
      reason: 'forbidden',
      message:
        "Object 'bucket/p/a' is under active Event-Based hold and cannot be deleted, overwritten or archived until hold is removed.",
    })
    site.endpoint.kept.set('p/b', { reason: 'forbidden', message: denied })

    const held = await failureOf(site.store.delete(['a']))
    const refused = await failureOf(site.store.delete(['b']))

    assert.match(held.message, /the first is "a", which is held \(objectUnderActiveHold\)/)
    assert.match(refused.message, /does not allow it \(forbidden: storage\.objects\.get\)/)
  })

  test('tells whoever asks what is retained, held or not to be deleted, and deletes the rest (N13)', async () => {
    await using site = await makeSite()
    for (const key of ['a', 'b', 'c', 'd']) site.endpoint.put(`p/${key}`, bytes)
    for (const [key, reason, message] of [
      ['a', 'retentionPolicyNotMet', 'is subject to a policy'],
      ['b', 'forbidden', "Object 'bucket/p/b' is under active Temporary hold and cannot be deleted"],
      ['c', 'forbidden', denied.replaceAll('objects.get', 'objects.delete')],
    ] as const) {
      site.endpoint.kept.set(`p/${key}`, { reason, message })
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

  for (const [status, reason] of [
    [403, 'accountDisabled'],
    [403, 'insufficientPermissions'],
    [403, ''],
    [401, 'authError'],
    [404, 'notFound'],
  ] as const) {
    test(`takes no other refusal for an object that is kept: ${status} ${reason} (N13)`, async () => {
      await using site = await makeSite()
      site.endpoint.put('p/a', bytes)
      site.endpoint.plan(refuse(status, reason, { message: 'no' }), { part: '/storage/', times: 1000 })

      const call = site.store.delete(['a'], { onKept: () => assert.fail('it is told as kept') })

      assert.equal((await failureOf(call)).code, reason === 'notFound' ? 'store-unreachable' : 'store-failed')
    })
  }

  test('deletes each key once, and tells what could not be deleted (N6)', async () => {
    await using site = await makeSite()
    const keys = Array.from({ length: 50 }, (_, index) => `key-${index}`)

    await site.store.delete([...keys, ...keys])

    assert.equal(site.endpoint.storeRequests.length, 50)
    site.endpoint.plan(refuse(403, 'forbidden', { message: denied }), { method: 'DELETE' })
    assert.match((await failureOf(site.store.delete(keys))).message, /deleting object "key-\d+".*forbidden/)
  })

  test('lists all pages, also when each has to be asked for again (N7)', async () => {
    await using site = await makeSite()
    site.endpoint.pageSize = 7
    const keys = Array.from({ length: 100 }, (_, index) => `key-${String(index).padStart(3, '0')}`)
    keys.forEach((key) => site.endpoint.put(`p/${key}`, bytes))
    site.endpoint.put('p/folder/', Buffer.alloc(0))
    site.endpoint.put('pq/other', bytes)
    site.endpoint.plan({ kind: 'reset' }, { part: 'pageToken' })
    site.endpoint.plan({ kind: 'cut-body', bytes: 100 }, { part: 'pageToken', times: 3 })

    const listed = await collect(site.store.list(''))

    assert.deepEqual(
      listed.map(({ key }) => key),
      keys,
    )
  })

  for (const [name, edit] of [
    [
      'comes again with the same token',
      (text: string) => text.replace(/"nextPageToken":"[^"]*"/, '"nextPageToken":"cC9hMQ=="'),
    ],
    ['is not in order', (text: string) => text.replace('p/a3', 'p/a0')],
  ] as const) {
    test(`fails rather than listing less when a page ${name} (N7)`, async () => {
      await using site = await makeSite()
      site.endpoint.pageSize = 2
      for (const key of ['a0', 'a1', 'a2', 'a3', 'a4', 'a5']) site.endpoint.put(`p/${key}`, bytes)
      site.endpoint.plan(
        change((answer) => Object.assign(answer, { body: Buffer.from(edit(answer.body.toString())) })),
        { part: 'maxResults', times: 10 },
      )

      assert.match(
        (await failureOf(collect(site.store.list('')))).message,
        /listing "" of "gcs:bucket\/p": the store/,
      )
    })
  }

  test('decides by the object and not by a listing that lags (N7)', async () => {
    await using site = await makeSite()
    await site.store.putIfAbsent('key', bytes)
    site.endpoint.plan(
      change((answer) => editJson(answer, (told) => ({ ...told, items: undefined }))),
      { part: 'maxResults' },
    )

    assert.deepEqual(await collect(site.store.list('')), [])
    assert.deepEqual(await site.store.get('key'), bytes)
    assert.equal((await site.store.head('key'))?.sizeBytes, bytes.length)
    assert.equal(await site.store.putIfAbsent('key', bytes), 'exists')
  })

  test('gives up a connection on which nothing moves, and asks again (N8)', async () => {
    await using site = await makeSite()
    await site.store.putIfAbsent('key', bytes)
    site.endpoint.plan({ kind: 'stall' }, { part: 'alt=media' })

    assert.deepEqual(await site.store.get('key'), bytes)
  })

  test('gives up at its deadline what comes too slowly (N8)', async () => {
    await using site = await makeSite({ callTimeoutMs: 400 })
    site.endpoint.put('p/slow', new Uint8Array(100_000))
    site.endpoint.plan(
      { kind: 'slow-body', bytesPerTick: 10, tickMs: 10 },
      { part: '/storage/', times: 1000 },
    )

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

  test('takes a refusal that comes before a large object is sent, and stops sending', async () => {
    await using site = await makeSite()
    site.endpoint.put('p/key', bytes)
    site.endpoint.plan(
      { kind: 'answer-early', answer: refusal(412, 'conditionNotMet') },
      { part: '/upload/' },
    )

    assert.equal(await site.store.putIfAbsent('key', new Uint8Array(60_000_000)), 'exists')
    const { bytesAfterEarlyAnswers } = site.endpoint
    await waitUntil('the connection has ended', () => bytesAfterEarlyAnswers.length > 0)
    assert.ok(Number(bytesAfterEarlyAnswers[0]) < 60_000_000)
    assert.deepEqual(await site.store.get('key'), bytes)
  })

  test('ends at once when its caller does, in a request and between two', async () => {
    for (const fault of [
      { kind: 'stall' },
      refuse(503, 'backendError', { headers: { 'retry-after': '60' } }),
    ] as readonly Fault[]) {
      for (const part of ['/token', '/storage/']) {
        await using site = await makeSite({ idleTimeoutMs: 60_000, callTimeoutMs: 60_000 })
        site.endpoint.plan(fault, { part, times: 100 })
        const controller = new AbortController()
        const reason = new Error('stop')
        const call = site.store.putIfAbsent('key', bytes, { signal: controller.signal })
        setTimeout(() => controller.abort(reason), 50)

        await assert.rejects(call, (error) => error === reason)
        assert.equal(site.endpoint.objects.size, 0)
      }
    }
  })

  test('repeats no token that the store repeats, not even in the cause (4.2)', async () => {
    await using site = await makeSite()
    site.endpoint.plan(
      change((answer) =>
        Object.assign(answer, refusal(400, 'odd', 'You sent token-canary-1 with request 7, and failed')),
      ),
      { part: '/storage/' },
    )

    const error = await failureOf(site.store.get('key'))

    assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /canary/)
    assert.match(String(error.cause), /odd \(400\): .*request 7/)
  })

  test('is made in a bucket that is there, and makes none (R24)', async () => {
    await using endpoint = await GcsEndpoint.start()
    const context = { clock: systemClock, signal: new AbortController().signal }
    const there = { bucket: 'bucket', keyPrefix: 'p/' }
    const absent = { bucket: 'absent', keyPrefix: 'p/' }

    await using store = await createGcsStore(there, endpoint.options, context)
    const error = await failureOf(createGcsStore(absent, endpoint.options, context))

    assert.equal(store.location, 'gcs:bucket/p')
    assert.equal(error.code, 'store-unreachable')
    assert.match(error.message, /expected the bucket "absent", found none of that name/)
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
    site.endpoint.plan(refuse(403, 'secret canary', { message: 'canary' }), { part: '/storage/', times: 100 })

    const error = await failureOf(site.store.get('key'))

    assert.doesNotMatch(`${error.message} ${error.hint}`, /canary|text of the server/)
  })
})

const bytes = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7)

interface Site extends AsyncDisposable {
  readonly endpoint: GcsEndpoint
  readonly store: ObjectStore
}

/** Little patience, so that the tests are quick. */
const hasty: Partial<RetryPolicy> = { firstWaitMs: 1, longestWaitMs: 5, firstAnswerTimeoutMs: 5000 }

async function makeSite(
  options: Partial<GcsStoreOptions> = {},
  certificate?: string,
  policy: Partial<RetryPolicy> = {},
): Promise<Site> {
  await using opened = new AsyncDisposableStack()
  const endpoint = opened.use(await GcsEndpoint.start(certificate))
  const location = { bucket: 'bucket', keyPrefix: 'p/' }
  const context = { clock: systemClock, policy: { ...hasty, ...policy } }
  const store = opened.use(openGcsStore(location, { ...endpoint.options, ...options }, context))
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

function refuse(
  status: number,
  reason: string,
  { message, headers = {} }: { readonly message?: string; readonly headers?: Record<string, string> } = {},
): Fault {
  const answer = refusal(status, reason, message)
  return { kind: 'answer', answer: { ...answer, headers: { ...answer.headers, ...headers } } }
}

function change(edit: (answer: Answer) => unknown): Fault {
  return { kind: 'change', change: (answer) => void edit(answer) }
}

function editJson(answer: Answer, edit: (content: Record<string, unknown>) => Record<string, unknown>): void {
  const content = JSON.parse(answer.body.toString()) as Record<string, unknown>
  if (answer.status === 200) Object.assign(answer, json(200, edit(content)))
}

function compress(answer: Answer): void {
  Object.assign(answer, { body: gzipSync(answer.body) })
  Object.assign(answer.headers, { 'content-encoding': 'gzip' })
}
