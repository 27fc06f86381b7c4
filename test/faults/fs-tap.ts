// Loaded into the tool before anything of it, by `--import`: every call of node:fs that makes, changes, names or syncs
// files, and every run of `sync --file-system`, is counted over all threads, written down, and fails or kills the process when its number has come.
//
// What it sees is what the tool asks of Node, so it needs no rights and no other program, and a count is the same in every
// run that does the same. What Node then asks of the kernel is seen by run-with-strace.ts.
import childProcess, { type ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { constants } from 'node:os'
import { basename, dirname, join } from 'node:path'
import workers from 'node:worker_threads'
import {
  byDescriptor,
  byHandle,
  byPath,
  descriptorOf,
  isCounted,
  isPath,
  pathOf,
  stretchOf,
  textOf,
  type Call,
  type Describe,
  type Stretch,
} from './tap-calls.ts'
import {
  tapVariable,
  type FaultKind,
  type TapBegin,
  type TapEvent,
  type TapSettings,
} from './tap-settings.ts'

type Callable = (this: unknown, ...parameters: unknown[]) => unknown
type Methods = Record<string, Callable>

interface Shared {
  readonly settings: TapSettings
  readonly logFd: number
  readonly counter: Int32Array
}

const { openSync, writeSync, realpathSync, fstatSync, lstatSync, statSync } = fs
const big = { bigint: true } as const
const shared = readShared()
const { watches = 'changes' } = shared.settings

await patchAll()
patchWorker()
patchSpawn()
syncBuiltinESMExports()

/** The main thread reads the environment and leaves it as if we were not there; its workers are handed what it read. */
function readShared(): Shared {
  if (!workers.isMainThread) return asShared(workers.getEnvironmentData(tapVariable))
  const settings = asSettings(JSON.parse(process.env[tapVariable] ?? '{}'))
  delete process.env[tapVariable]
  delete process.env['NODE_OPTIONS']
  const counter = new Int32Array(new SharedArrayBuffer(4))
  const made = { settings, counter, logFd: openSync(settings.logFile, 'a', 0o600) }
  workers.setEnvironmentData(tapVariable, made)
  return made
}

/** Node gives a worker the preloads of its parent only when it is told to. */
function patchWorker(): void {
  const Original = workers.Worker
  workers.Worker = class extends Original {
    constructor(script: string | URL, options: workers.WorkerOptions = {}) {
      super(script, { ...options, execArgv: ['--import', import.meta.url, ...(options.execArgv ?? [])] })
    }
  }
}

/** Of all programs the tool may run, only this one makes anything durable. */
function patchSpawn(): void {
  const methods = methodsOf(childProcess)
  const original = methods['spawn']
  if (original === undefined) return
  methods['spawn'] = function tapped(this: unknown, ...parameters: unknown[]): unknown {
    const [file, args, ...rest] = parameters
    if (basename(textOf(file)) !== 'sync' || !Array.isArray(args)) return original.apply(this, parameters)
    const pretend = (script: string): unknown => original.call(this, '/bin/sh', ['-c', script], ...rest)
    if (shared.settings.hidesSync === true) return pretend('exit 1')
    if (args[0] !== '--file-system' || watches !== 'changes') return original.apply(this, parameters)
    const call: Call = { operation: 'syncfs', path: args[1] }
    let number: number
    try {
      number = begin(call, [])
    } catch (error) {
      return pretend(`echo "sync: error syncing: ${String(error).replaceAll('"', '')}" >&2; exit 1`)
    }
    const child = asChild(original.apply(this, parameters))
    child.once('exit', (code) => {
      if (code === 0) end(number, call, undefined)
    })
    return child
  }
}

async function patchAll(): Promise<void> {
  const promises = methodsOf(fs.promises)
  const plain = methodsOf(fs)
  for (const [name, describe] of Object.entries(byPath)) {
    patch(promises, name, { describe, style: 'promise' })
    patch(plain, name, { describe, style: 'callback' })
    patch(plain, `${name}Sync`, { describe, style: 'sync' })
  }
  for (const [name, describe] of Object.entries(byDescriptor)) {
    patch(plain, name, { describe, style: 'callback' })
    patch(plain, `${name}Sync`, { describe, style: 'sync' })
  }
  const handle = methodsOf(await handlePrototype())
  for (const [name, describe] of Object.entries(byHandle)) patch(handle, name, { describe, style: 'promise' })
  promises['writeFile'] = writeFileInSteps
}

interface Patch {
  readonly describe: Describe
  readonly style: 'promise' | 'callback' | 'sync'
}

function patch(methods: Methods, name: string, { describe, style }: Patch): void {
  const original = methods[name]
  if (original === undefined) return
  methods[name] = function tapped(this: unknown, ...parameters: unknown[]): unknown {
    const call = describe(parameters, this)
    if (call === undefined || !isCounted(call, watches)) return original.apply(this, parameters)
    if (style === 'promise') return inPromise(call, parameters, () => original.apply(this, parameters))
    if (style === 'callback') return withCallback(call, parameters, original)
    const number = begin(call, parameters)
    const answer = original.apply(this, parameters)
    end(number, call, answer)
    return answer
  }
}

async function inPromise(call: Call, parameters: unknown[], go: () => unknown): Promise<unknown> {
  const number = begin(call, parameters)
  const answer = await go()
  end(number, call, answer)
  return answer
}

function withCallback(call: Call, parameters: unknown[], original: Callable): unknown {
  const callback = parameters.at(-1)
  if (typeof callback !== 'function') return original(...parameters)
  let number: number
  try {
    number = begin(call, parameters)
  } catch (error) {
    process.nextTick(callback, error)
    return undefined
  }
  return original(...parameters.slice(0, -1), (error: unknown, ...answers: unknown[]) => {
    if (error === null || error === undefined) end(number, call, answers[0])
    Reflect.apply(callback, undefined, [error, ...answers])
  })
}

/** Node has no other way to it than through a handle. */
async function handlePrototype(): Promise<object> {
  await using handle = await fs.promises.open('/dev/null')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- of an object, the prototype is one
  return Object.getPrototypeOf(handle) as object
}

/** So that there is a step between the empty file and the full one. */
async function writeFileInSteps(path: unknown, data: unknown, options: unknown): Promise<void> {
  if (!isPath(path)) throw new TypeError('writing through a handle goes by its own method')
  const { flag = 'w', mode = 0o666 } =
    typeof options === 'object' && options !== null ? asOptions(options) : {}
  await using file = await fs.promises.open(path, flag, mode)
  if (typeof data === 'string' ? data !== '' : true) await file.writeFile(asContent(data))
}

/** Counts and writes down the call, and does what was asked for when it is the one: maybe to the parameters. */
function begin(call: Call, parameters: unknown[]): number {
  const { counter, settings } = shared
  const number = Atomics.add(counter, 0, 1) + 1
  const { fault } = settings
  const struck = fault?.at === number ? fault.kind : undefined
  const { operation, creates } = call
  const stretch = stretchOf(parameters)
  log({
    event: 'begin',
    call: number,
    operation,
    ...where(call),
    ...(creates === true && { creates }),
    ...(stretch !== undefined && { lengthBytes: stretch.length }),
    ...(struck !== undefined && { fault: struck }),
  })
  if (struck !== undefined) strike(struck, call, { parameters, stretch })
  return number
}

interface Asked {
  readonly parameters: unknown[]
  readonly stretch: Stretch | undefined
}

function strike(kind: FaultKind, call: Call, { parameters, stretch }: Asked): void {
  if (kind === 'short') {
    if (stretch !== undefined) parameters[stretch.index + 2] = Math.ceil(stretch.length / 2)
    return
  }
  // A disk that is full and a death in the middle both leave the first part of what was to be written.
  if (kind !== 'EIO') tear(call, stretch)
  if (kind === 'kill') die()
  throw systemError(kind, call)
}

function end(number: number, { operation }: Call, answer: unknown): void {
  if (shared.settings.isDetailed !== true) return
  const fd = operation === 'open' ? descriptorOf(answer) : undefined
  log({ event: 'end', call: number, ...(fd !== undefined && { inode: inodeOf(() => fstatSync(fd, big)) }) })
}

function log(event: TapEvent): void {
  writeSync(shared.logFd, `${JSON.stringify(event)}\n`)
}

function where({ path, to, fd, operation }: Call): Pick<TapBegin, 'path' | 'to' | 'inode' | 'device'> {
  const name = fd === undefined ? textOf(path) : pathOf(fd)
  if (shared.settings.isDetailed !== true) return { path: name }
  if (fd !== undefined) return { path: name, inode: inodeOf(() => fstatSync(fd, big)) }
  const source = realPath(name)
  const inode = ['rename', 'link', 'unlink', 'truncate'].includes(operation)
    ? { inode: inodeOf(() => lstatSync(name, big)) }
    : {}
  const target = to === undefined ? {} : { to: realPath(textOf(to)) }
  const device = deviceOf(operation === 'syncfs' ? name : dirname(target.to ?? source))
  return { path: source, ...target, ...inode, ...(device !== undefined && { device }) }
}

function deviceOf(path: string): string | undefined {
  try {
    return String(statSync(path, big).dev)
  } catch {
    return undefined
  }
}

function inodeOf(stat: () => { readonly dev: bigint; readonly ino: bigint }): string {
  try {
    const { dev, ino } = stat()
    return `${dev}:${ino}`
  } catch {
    return 'none'
  }
}

/** The folder without links, above all without /proc/self/fd; the name as it is. */
function realPath(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path))
  } catch {
    return path
  }
}

function die(): never {
  process.kill(process.pid, 'SIGKILL')
  // The other threads die at the same moment; this one does nothing more.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}

/** Writes the first half of what the call was to write: whole pages, for what goes past the page cache cannot be torn elsewhere. */
function tear({ operation, fd }: Call, stretch: Stretch | undefined): void {
  if (operation !== 'write' || fd === undefined || stretch === undefined) return
  const { bytes, offset, length, position } = stretch
  const half = Math.floor(length / 2)
  const count = half < 4096 ? half : half - (half % 4096)
  writeSync(fd, bytes, offset, count, typeof position === 'number' ? position : null)
}

function systemError(code: 'EIO' | 'ENOSPC', { operation, path }: Call): Error {
  const words = { EIO: 'i/o error', ENOSPC: 'no space left on device' }[code]
  const error = new Error(`${code}: ${words}, ${operation}`)
  return Object.assign(error, {
    code,
    errno: -constants.errno[code],
    syscall: operation,
    ...(path !== undefined && { path: textOf(path) }),
  })
}

function methodsOf(object: object): Methods {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- functions are replaced by name
  return object as Methods
}

function asChild(value: unknown): ChildProcess {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- spawn has made it
  return value as ChildProcess
}

function asShared(value: unknown): Shared {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the main thread has put it there
  return value as Shared
}

function asSettings(value: unknown): TapSettings {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- run-with-tap.ts has written it
  return value as TapSettings
}

function asOptions(value: object): { flag?: string; mode?: number } {
  return value
}

function asContent(value: unknown): string | Uint8Array {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a type that is wrong fails in Node as it would have
  return value as string | Uint8Array
}
