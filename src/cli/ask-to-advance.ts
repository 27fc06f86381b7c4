import { readlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { AtDocument } from '../api/at-document.ts'
import type { RunContext } from '../domain/run-context.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import { sendRequest } from '../platform/request-socket.ts'
import { socketLink } from '../sandbox/sandbox-folder.ts'
import { encodeAdvance, readAnswer, type AdvanceRequest } from './advance-protocol.ts'
import { controlSocket, isGone } from './keep-sandbox.ts'

/**
 * Asks whoever keeps the sandbox in this folder to go on with it, and waits until it has. Throws what was refused there, and
 * `not-found` when nobody keeps it.
 */
export async function askToAdvance(
  { folder, ...request }: AdvanceRequest & { readonly folder: string },
  { signal }: RunContext,
): Promise<AtDocument> {
  const socketDirectory = await readSocketLink(join(folder, socketLink))
  const answer =
    socketDirectory === undefined
      ? undefined
      : await sendRequest(join(socketDirectory, controlSocket), encodeAdvance(request), signal)
  if (answer === undefined) throw isGone()
  return readAnswer(answer)
}

async function readSocketLink(path: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT', 'ENOTDIR', 'EINVAL')) return undefined
    throw error
  }
}
