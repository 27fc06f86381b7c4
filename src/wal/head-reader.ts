import { toLsn, type Lsn } from '../domain/lsn.ts'
import { pageFlags, type PageHeader } from './page-header.ts'
import { mostCarriedBytes, type SegmentHead } from './segment-contents.ts'

/**
 * Passes over what finishes a record of an earlier segment, up to where a record can begin: XLogFindNextRecord in
 * access/transam/xlogreader.c. Keeps the bytes for who has that record's beginning.
 */
export class HeadReader {
  /** Undefined until the first page came, and when it begins with a record of its own. */
  #state: SegmentHead['state'] | undefined
  #isSearching = true
  #hasStarted = false
  #missing = 0
  #gathered = 0
  #pieces: Uint8Array[] = []
  #endLsn: Lsn

  constructor(startLsn: Lsn) {
    this.#endLsn = startLsn
  }

  /** Whether the place where a record can begin is still to come. */
  get isSearching(): boolean {
    return this.#isSearching
  }

  /** Takes the next page. Gives how many bytes of its content come before a record can begin. */
  enterPage(header: PageHeader, content: Uint8Array): number {
    const continued = (header.flags & pageFlags.continuation) === 0 ? 0 : header.continuedBytes
    this.#state = this.#hasStarted
      ? this.#judgeNext(header.flags, continued)
      : this.#judgeFirst(header.flags, continued)
    this.#hasStarted = true
    const skipped = Math.ceil(continued / 8) * 8
    this.#isSearching = skipped >= content.length
    const taken = Math.min(content.length, skipped)
    // A record that ends with its page ends there, not behind the next page's header.
    if (taken > 0 || this.#state === 'abandoned') {
      this.#endLsn = toLsn(header.address + BigInt(header.length + taken))
    }
    if (this.#state === 'whole') this.#gather(content.subarray(0, Math.min(continued, content.length)))
    return taken
  }

  /** Undefined when the segment begins with a record of its own. `isWhole`: no page stopped the reading so far. */
  finish(isWhole: boolean): SegmentHead | undefined {
    if (this.#state === undefined) return undefined
    const isCutShort = !isWhole && this.#gathered < this.#missing
    return {
      missing: this.#missing,
      bytes: this.#carried(),
      endLsn: this.#endLsn,
      state: isCutShort && this.#state === 'whole' ? 'broken' : this.#state,
    }
  }

  #judgeFirst(flags: number, continued: number): SegmentHead['state'] | undefined {
    this.#missing = continued
    const isContinued = (flags & pageFlags.continuation) !== 0
    if ((flags & pageFlags.overwritesContinuation) !== 0) return isContinued ? 'broken' : 'abandoned'
    if (!isContinued) return undefined
    return continued > 0 ? 'whole' : 'broken'
  }

  /** Of a page that comes while the record's end is still searched. */
  #judgeNext(flags: number, continued: number): SegmentHead['state'] | undefined {
    if (this.#state !== 'whole') return this.#state
    const expected = this.#missing - this.#gathered
    const isContinued = (flags & pageFlags.continuation) !== 0
    if ((flags & pageFlags.overwritesContinuation) !== 0 && expected > 0) {
      return isContinued ? 'broken' : 'abandoned'
    }
    return isContinued === expected > 0 && continued === expected ? 'whole' : 'broken'
  }

  #gather(bytes: Uint8Array): void {
    this.#gathered += bytes.length
    if (this.#gathered > mostCarriedBytes) this.#pieces = []
    else this.#pieces.push(bytes.slice())
  }

  #carried(): Uint8Array | undefined {
    return this.#gathered > mostCarriedBytes ? undefined : Buffer.concat(this.#pieces)
  }
}
