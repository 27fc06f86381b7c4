import { AnswerFault } from '../answer-fault.ts'
import type { KeyVersion, VersionPage, VersionPosition } from './version-requests.ts'

/**
 * Of every key the version that it had at a moment: the newest that is not younger, unless that says that nothing was there.
 * In the order of the keys, with one of them in memory. Where an object was stored and deleted within one tick of the
 * store's clock nobody can tell which came last: it counts as there, for what is read is checked, and what is missing is not.
 *
 * Throws `AnswerFault` when the pages cannot be a listing.
 */
export async function* chooseVersions(
  askPage: (after: VersionPosition | undefined) => Promise<VersionPage>,
  atMs: number,
): AsyncGenerator<KeyVersion> {
  let chosen: KeyVersion | undefined
  let key = ''
  for await (const version of allVersions(askPage)) {
    if (version.key !== key) {
      if (version.key < key)
        throw new AnswerFault(`the store does not list in order: "${version.key}" comes after "${key}"`)
      if (chosen !== undefined && !chosen.isDeletion) yield chosen
      chosen = undefined
      key = version.key
    }
    if (version.modifiedAtMs <= atMs) chosen = newerOf(chosen, version)
  }
  if (chosen !== undefined && !chosen.isDeletion) yield chosen
}

/** `later` was told later, so it is older or of the same time. */
function newerOf(chosen: KeyVersion | undefined, later: KeyVersion): KeyVersion {
  if (chosen === undefined) return later
  return chosen.isDeletion && !later.isDeletion && chosen.modifiedAtMs === later.modifiedAtMs ? later : chosen
}

async function* allVersions(
  askPage: (after: VersionPosition | undefined) => Promise<VersionPage>,
): AsyncGenerator<KeyVersion> {
  let after: VersionPosition | undefined
  do {
    const { versions, next } = await askPage(after)
    if (next !== undefined && next.key === after?.key && next.versionId === after.versionId)
      throw new AnswerFault('the store goes in circles instead of ending a listing')
    yield* versions
    after = next
  } while (after !== undefined)
}
