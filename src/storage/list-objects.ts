import { isObjectKey } from './object-key.ts'
import type { ListedObject } from './object-store.ts'
import { AnswerFault } from './answer-fault.ts'

/** What a store answers to one request for a listing. */
export interface Page {
  readonly objects: readonly ListedObject[]
  /** What the next page is asked for with. Undefined: this was the last one. */
  readonly next: string | undefined
}

/** Stores may answer a part of a listing with nothing in it; more in a row than this is a store that goes in circles. */
const mostEmptyPages = 100

/**
 * The objects of all pages. `askPage` asks for the page after a token. Throws `AnswerFault` when the pages cannot be the
 * listing: a token that comes again, keys that are not in order. So a listing is complete or fails, never shorter.
 */
export async function* listObjects(
  askPage: (after: string | undefined) => Promise<Page>,
): AsyncGenerator<ListedObject> {
  let last = ''
  let emptyPages = 0
  let after: string | undefined
  do {
    const { objects, next } = await askPage(after)
    emptyPages = objects.length === 0 ? emptyPages + 1 : 0
    if (next !== undefined && (next === after || emptyPages > mostEmptyPages)) {
      throw new AnswerFault('the store goes in circles instead of ending a listing')
    }
    for (const object of objects) {
      if (object.key <= last)
        throw new AnswerFault(`the store does not list in order: "${object.key}" comes after "${last}"`)
      last = object.key
      // What others have put there cannot be a key of ours, such as the empty objects that stand for folders.
      if (isObjectKey(object.key)) yield object
    }
    after = next
  } while (after !== undefined)
}
