import { open } from 'node:fs/promises'
import { OperationError } from '../domain/operation-error.ts'

const tailBytes = 64 * 1024
const mostFatalLines = 10

/** The last 64 KiB of a log, from the beginning of a line on. */
export async function readLogTail(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r')
    const { size } = await file.stat()
    const start = Math.max(0, size - tailBytes)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(tailBytes), 0, tailBytes, start)
    const text = buffer.toString('utf8', 0, bytesRead)
    return start === 0 ? text : text.slice(text.indexOf('\n') + 1)
  } catch (cause) {
    throw new OperationError('file-unreadable', `cannot read server log "${path}"`, { cause })
  }
}

/**
 * Why a server ended, in its own words: the last FATAL and PANIC messages without their prefix, each with the DETAIL
 * and HINT that follow it. Refused connections are FATAL too, but say nothing about the server.
 */
export function fatalLinesOf(log: string): readonly string[] {
  const reasons: string[] = []
  let isReason = false
  for (const line of log.split('\n')) {
    const { level, message } = parseLogLine(line)
    const isDetail = level === 'DETAIL' || level === 'HINT'
    if (isReason && isDetail) reasons.push(`${reasons.pop() ?? ''} (${message})`)
    if (isDetail) continue
    isReason = isFatal(level) && !isRefusedConnection(message)
    if (isReason) reasons.push(message)
  }
  return reasons.slice(-mostFatalLines)
}

function parseLogLine(line: string): { level: string; message: string } {
  const [, level = '', message = ''] = /(?:^|\s)([A-Z]+):\s+(.*)$/.exec(line) ?? []
  return { level, message }
}

function isFatal(level: string): boolean {
  return level === 'FATAL' || level === 'PANIC'
}

function isRefusedConnection(message: string): boolean {
  return /^the database system is|^terminating connection/.test(message)
}
