// Loaded into the tool by `--import`: a kind of call never comes back and holds its thread, as on a network file system
// whose server is gone. Which one: HANGING_CALL. How many of them come back before: HANGING_AFTER. What it waits for
// instead: a named pipe, HANGING_PIPE.
import fs from 'node:fs'
import { open } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

type Call = (this: unknown, ...parameters: unknown[]) => unknown

const { HANGING_CALL: name = '', HANGING_AFTER: after = '0', HANGING_PIPE: pipe = '' } = process.env
let left = Number(after)

await using file = await open(import.meta.filename)
const home: unknown = name === 'sync' ? Object.getPrototypeOf(file) : fs.promises
replaceIn(home as Record<string, Call>)
syncBuiltinESMExports()

function replaceIn(calls: Record<string, Call>): void {
  const original = calls[name]
  if (original === undefined) throw new Error(`there is no call "${name}"`)
  calls[name] = function hang(...parameters) {
    left -= 1
    return left >= 0 ? original.apply(this, parameters) : open(pipe)
  }
}
