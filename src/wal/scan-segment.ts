import type { SegmentContents } from './segment-contents.ts'
import { SegmentScanner, type ScanScope } from './segment-scanner.ts'

/**
 * Finds all that one whole segment holds. Damage is no error here: it shows as the `end`, and nothing behind it is told.
 * A segment that is too large for memory goes piece by piece into a SegmentScanner.
 */
export function scanSegment(bytes: Uint8Array, scope: ScanScope): SegmentContents {
  const scanner = new SegmentScanner({ ...scope, sizeBytes: bytes.length })
  scanner.push(bytes)
  return scanner.finish()
}
