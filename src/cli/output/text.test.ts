import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatJson } from './json.ts'
import { formatTable } from './table.ts'
import { chooseStyle, formatAge, plain, printable } from './text.ts'

const terminal = { write: () => undefined, isTTY: true }
const pipe = { write: () => undefined }

describe('chooseStyle', () => {
  test('colours on a terminal', () => {
    assert.equal(chooseStyle(terminal, true, {})('red', 'x'), '\u{1b}[31mx\u{1b}[39m')
  })

  test('does not colour a pipe, or where people or terminals cannot have it', () => {
    assert.equal(chooseStyle(pipe, true, {}), plain)
    assert.equal(chooseStyle(terminal, false, {}), plain)
    assert.equal(chooseStyle(terminal, true, { NO_COLOR: '1' }), plain)
    assert.equal(chooseStyle(terminal, true, { TERM: 'dumb' }), plain)
  })
})

describe('printable', () => {
  test('keeps text and line ends, shows what would act on a terminal', () => {
    assert.equal(printable('Zürich\n\u{1b}[0m\u{202e}\u{0}'), 'Zürich\n\\u{1b}[0m\\u{202e}\\u{0}')
  })
})

describe('formatAge', () => {
  test('uses the greatest unit that fits', () => {
    assert.deepEqual([-5, 900, 59_999, 3_600_000 * 3.9, 86_400_000 * 40].map(formatAge), [
      'just now',
      'just now',
      '59 s ago',
      '3 h ago',
      '40 d ago',
    ])
  })
})

describe('formatTable', () => {
  test('aligns columns by their widest cell and leaves no space at line ends', () => {
    const table = formatTable(
      [{ title: 'name' }, { title: 'size', align: 'right' }, { title: 'note' }],
      [
        ['main', '12 MB', ''],
        ['a longer name', '1 GB', 'two\nlines'],
      ],
      plain,
    )

    assert.equal(
      table,
      ['name            size  note', 'main           12 MB', 'a longer name   1 GB  two lines', ''].join(
        '\n',
      ),
    )
  })

  test('has just its titles without rows', () => {
    assert.equal(formatTable([{ title: 'a' }, { title: 'b' }], [], plain), 'a  b\n')
  })
})

describe('formatJson', () => {
  test('writes what JSON numbers cannot hold as text (R71)', () => {
    const document = { version: 1, systemIdentifier: 18_446_744_073_709_551_615n }

    assert.deepEqual(JSON.parse(formatJson(document)), {
      version: 1,
      systemIdentifier: '18446744073709551615',
    })
  })
})
