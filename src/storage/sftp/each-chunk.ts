import { eachInFlight } from '../../platform/in-flight.ts'

/**
 * What one request reads or writes: the most that OpenSSH takes. With 32 KiB it was a third slower (November 2026). For servers
 * that take less, ssh2 makes several requests of one, one after another.
 */
const chunkBytes = 255 * 1024
/** How many of them are under way for one object: 4 MB, twice the window of OpenSSH. */
const chunksInFlight = 16

/** Calls `act` for each part of `length` bytes, several at a time, as `eachInFlight` does. */
export async function eachChunk(
  length: number,
  act: (start: number, end: number) => Promise<void>,
): Promise<void> {
  const count = Math.ceil(length / chunkBytes)
  await eachInFlight(count, chunksInFlight, (index) =>
    act(index * chunkBytes, Math.min(length, (index + 1) * chunkBytes)),
  )
}
