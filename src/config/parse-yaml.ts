import { isAlias, isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { Document, Node, Pair, YAMLError } from 'yaml'
import { quote } from '../domain/quote.ts'
import type { Problem } from './problem.ts'

export type SettingPath = readonly (string | number)[]

/** What a YAML text says and where it says it. */
export interface ParsedYaml {
  /** Plain objects, lists and scalars; undefined when there are problems. */
  readonly value: unknown
  readonly problems: readonly Problem[]
  /** `FILE:LINE:COL` of the key or list entry at `path`, or of the nearest one around it that is there. */
  place(path: SettingPath): string
}

/** Reads the one document of a configuration file, strictly: duplicate keys, tags and a second document are problems. */
export function parseYaml(text: string, file: string): ParsedYaml {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    uniqueKeys: true,
    version: '1.2',
  })
  const placeAt = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}`
  }
  const problems = [...document.errors, ...document.warnings].map((error) =>
    describeYamlError(error, text, placeAt(error.pos[0])),
  )
  const place = (path: SettingPath): string => placeAt(offsetOf(document, path))
  if (problems.length > 0) return { value: undefined, problems, place }
  return { ...toPlainValue(document, placeAt(0)), place }
}

/** Bounds what aliases may expand to: a configuration has no need of them, a hostile file would. */
const mostAliases = 20

function toPlainValue(document: Document, place: string): Pick<ParsedYaml, 'value' | 'problems'> {
  try {
    const value: unknown = document.toJS({ maxAliasCount: mostAliases })
    return { value, problems: [] }
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error
    const problem = { place, path: '', expected: 'few or no aliases', found: 'aliases that expand too far' }
    return { value: undefined, problems: [problem] }
  }
}

/** What was expected and what was found, for the mistakes that people make by hand. */
const commonMistakes: Partial<Record<YAMLError['code'], readonly [string, string]>> = {
  MULTIPLE_DOCS: ['one YAML document', 'a second one'],
  TAB_AS_INDENT: ['spaces for indentation', 'a tab'],
  BAD_INDENT: ['the indentation of the lines around it', 'another one'],
  NON_STRING_KEY: ['a plain name as key', 'something else'],
  BAD_ALIAS: ['an alias of an anchor that stands before it', 'one without'],
  TAG_RESOLVE_FAILED: ['values without a tag', 'a tag'],
  MISSING_CHAR: ['a closing quote, bracket or comma', 'none'],
  BLOCK_AS_IMPLICIT_KEY: ['one "key: value" on a line', 'more than one'],
}

/** Never quotes the text around the error, which may hold a secret: only the name of a duplicate key. */
function describeYamlError(error: YAMLError, text: string, place: string): Problem {
  if (error.code === 'DUPLICATE_KEY') {
    const found = `the key ${quote(keyAt(text, error.pos[0]))} a second time`
    return { place, path: '', expected: 'every key once', found }
  }
  const kind = error.code.toLowerCase().replaceAll('_', ' ')
  const [expected, found] = commonMistakes[error.code] ?? ['valid YAML', `a mistake of the kind "${kind}"`]
  return { place, path: '', expected, found }
}

function keyAt(text: string, offset: number): string {
  return /^["']?([^"':\s]{0,60})/.exec(text.slice(offset, offset + 64))?.[1] ?? ''
}

function offsetOf(document: Document, path: SettingPath): number {
  let offset = startOf(document.contents) ?? 0
  let node: unknown = document.contents
  for (const segment of path) {
    const child = childOf(resolveAlias(node, document), segment)
    if (child === undefined) return offset
    offset = startOf(child) ?? offset
    node = isPair(child) ? child.value : child
  }
  return offset
}

function resolveAlias(node: unknown, document: Document): unknown {
  return isAlias(node) ? node.resolve(document) : node
}

function childOf(node: unknown, segment: string | number): Pair | Node | undefined {
  if (isMap(node)) return node.items.find(({ key }) => isScalar(key) && String(key.value) === String(segment))
  const item: unknown = isSeq(node) && typeof segment === 'number' ? node.items[segment] : undefined
  return isNode(item) ? item : undefined
}

function startOf(node: unknown): number | undefined {
  if (isPair(node)) return startOf(node.key)
  return isNode(node) ? node.range?.[0] : undefined
}
