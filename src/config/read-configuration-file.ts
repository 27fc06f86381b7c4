import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { Environment } from '../platform/environment.ts'

export interface ConfigurationRequest {
  /** From `--config`. */
  readonly explicitFile?: string | undefined
  readonly environment: Environment
  /** The home directory of the user who started the tool; undefined when there is none. */
  readonly home: string | undefined
  /** Where the configuration of the whole machine is; default `/etc/holdfast/holdfast.yaml`. */
  readonly systemFile?: string | undefined
}

export interface ConfigurationFile {
  /** Absolute. */
  readonly file: string
  readonly text: string
  /** Permission bits. */
  readonly mode: number
}

/** A configuration is a few kilobytes; what is larger is something else. */
const mostBytes = 1024 * 1024

/**
 * Reads the file that the request names, or else the first that exists of the usual places. Undefined when none exists
 * and none was named. A file that is there but cannot be used is an error and never passed over.
 */
export async function readConfigurationFile(
  request: ConfigurationRequest,
): Promise<ConfigurationFile | undefined> {
  const named = request.explicitFile ?? nonEmpty(request.environment['HOLDFAST_CONFIG'])
  if (named !== undefined) {
    const found = await readIfExists(resolve(named))
    if (found !== undefined) return found
    throw new OperationError(
      'config-missing',
      `reading the configuration: there is no file ${quote(named)}`,
      {
        hint: 'Correct --config or HOLDFAST_CONFIG, or write the file with "holdfast init".',
      },
    )
  }
  for (const file of usualFiles(request)) {
    const found = await readIfExists(file)
    if (found !== undefined) return found
  }
  return undefined
}

/** The places that are searched when no file is named, in this order. */
export function usualFiles({ home, systemFile }: ConfigurationRequest): readonly string[] {
  const system = systemFile ?? '/etc/holdfast/holdfast.yaml'
  return home === undefined ? [system] : [system, join(home, '.config/holdfast/holdfast.yaml')]
}

async function readIfExists(file: string): Promise<ConfigurationFile | undefined> {
  try {
    // Without O_NONBLOCK a named pipe in the file's place would hold the tool up for ever.
    await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    const status = await handle.stat()
    if (!status.isFile()) throw unusable({ file, expected: 'a regular file', found: 'something else' })
    if (status.size > mostBytes)
      throw unusable({ file, expected: `at most ${mostBytes} bytes`, found: `${status.size}` })
    const text = decode(await handle.readFile(), file)
    return { file, text, mode: status.mode & 0o777 }
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === undefined) throw error
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new OperationError('file-unreadable', `reading the configuration ${quote(file)}: ${code}`, {
      cause: error,
      hint: 'Run the command as a user who may read the file, or give the file to that user.',
    })
  }
}

function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw unusable({ file, expected: 'UTF-8 text', found: 'other bytes', cause: error })
  }
}

interface Fault {
  readonly file: string
  readonly expected: string
  readonly found: string
  readonly cause?: unknown
}

function unusable({ file, expected, found, cause }: Fault): OperationError {
  const message = `reading the configuration ${quote(file)}: expected ${expected}, found ${found}`
  return new OperationError('config-invalid', message, { cause, hint: 'Name the right file with --config.' })
}

/** `ENOENT` and its kin; undefined when the error is not one of the system's. */
function systemErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'syscall' in error && 'code' in error ? String(error.code) : undefined
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}
