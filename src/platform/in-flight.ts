/**
 * Calls `act` for 0 up to `count`, at most `most` at a time. When one fails, no further one is begun, and this rejects with
 * the first failure; those under way go on.
 */
export async function eachInFlight(
  count: number,
  most: number,
  act: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) {
      const index = next
      next += 1
      try {
        await act(index)
      } catch (error) {
        next = count
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(most, count) }, work))
}
