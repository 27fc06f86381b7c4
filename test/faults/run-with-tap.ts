import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { runHoldfast, type HoldfastResult } from '../support/holdfast.ts'
import type { Command } from './fault-case.ts'
import { tapVariable, type Fault, type TapBegin, type TapEvent, type TapSettings } from './tap-settings.ts'

export interface TappedRun {
  readonly result: HoldfastResult
  /** Where the fault struck; undefined when the command ended before it came to that. */
  readonly struck: TapBegin | undefined
  readonly events: readonly TapEvent[]
}

interface TapOptions {
  readonly fault?: Fault
  readonly isDetailed?: boolean
  readonly watches?: TapSettings['watches']
  readonly hidesSync?: boolean
}

const tap = pathToFileURL(join(import.meta.dirname, 'fs-tap.ts')).href

/** Runs the tool with the tap loaded into it and all its threads; not into the processes that it starts. */
export async function runWithTap(
  { args, options, folder }: Command,
  { fault, isDetailed = false, watches = 'changes', hidesSync = false }: TapOptions = {},
): Promise<TappedRun> {
  const logFile = join(folder, `tap-${fault?.kind ?? 'record'}.log`)
  // Places are used again, and it is appended to.
  await rm(logFile, { force: true })
  const settings: TapSettings = {
    logFile,
    isDetailed,
    watches,
    hidesSync,
    ...(fault !== undefined && { fault }),
  }
  const env = {
    ...options.env,
    NODE_OPTIONS: `--import=${tap}`,
    [tapVariable]: JSON.stringify(settings),
  }
  const result = await runHoldfast(args, { ...options, env })
  const events = parseEvents(await readFile(logFile, 'utf8'))
  return { result, events, struck: begins(events).find((event) => event.fault !== undefined) }
}

export function begins(events: readonly TapEvent[]): readonly TapBegin[] {
  return events.filter((event) => event.event === 'begin')
}

function parseEvents(text: string): readonly TapEvent[] {
  const lines = text.split('\n').filter((line) => line !== '')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- fs-tap.ts has written them
  return lines.map((line) => JSON.parse(line) as TapEvent)
}
