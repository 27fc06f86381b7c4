import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readOutline, type DumpOutline } from './dump-outline.ts'

const context = {
  signal: new AbortController().signal,
  clock: { now: () => 0, monotonic: () => 0, sleep: () => Promise.resolve() },
  report: () => undefined,
}

/** In pieces of a few bytes, as a stream may come. */
async function* piecesOf(text: string): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7)
}

const outlineOf = (text: string): Promise<DumpOutline> =>
  readOutline(
    { format: 'plain', programs: { pgRestore: '' }, chunks: piecesOf(text), spoolParent: undefined },
    context,
  )

const table =
  '--\n-- Name: größe; Type: TABLE; Schema: public; Owner: a\n--\n\nCREATE TABLE public."größe" (t text);\n'
const rows = `-- Data for Name: größe; Type: TABLE DATA; Schema: public; Owner: a
COPY public."größe" (t) FROM stdin;
-- Name: no; Type: TABLE; Schema: public; Owner: a
\\.
`

describe('the outline of a dump that is SQL text', () => {
  test('counts its tables, and takes no row for one', async () => {
    const partitioned =
      '-- Name: p; Type: TABLE; Schema: s; Owner: a\n-- Name: i; Type: INDEX; Schema: s; Owner: a\n'

    assert.deepEqual(await outlineOf(table + partitioned + rows), {
      entryCount: 4,
      tableCount: 2,
      hasRows: true,
      isDataOnly: false,
    })
    assert.deepEqual((await outlineOf(table)).hasRows, false)
  })

  test('says when it has rows and no definition', async () => {
    const sequence = '-- Name: s; Type: SEQUENCE SET; Schema: public; Owner: a\n'

    assert.equal((await outlineOf(rows + sequence)).isDataOnly, true)
    assert.equal(
      (await outlineOf(`${rows}-- Name: e; Type: EXTENSION; Schema: -; Owner: \n`)).isDataOnly,
      false,
    )
    assert.equal((await outlineOf('-- PostgreSQL database dump\n')).isDataOnly, false)
  })
})
