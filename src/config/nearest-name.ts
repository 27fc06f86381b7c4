/** The name that was most probably meant, or undefined when none is near enough to be worth a hint. */
export function nearestName(typed: string, known: Iterable<string>): string | undefined {
  if (typed.length > longestTyped) return undefined
  const lowered = typed.toLowerCase().replaceAll('_', '-')
  const ranked = [...known]
    .map((name) => ({ name, distance: editDistance(lowered, name) }))
    .filter(
      ({ name, distance }) => distance <= Math.max(1, Math.floor(Math.max(name.length, lowered.length) / 3)),
    )
    .toSorted((a, b) => a.distance - b.distance)
  return ranked[0]?.name
}

/** Longer input is not a typing mistake, and comparing takes time that grows with its length. */
const longestTyped = 100

/** Optimal string alignment: insertions, deletions, substitutions and swapped neighbours cost one each. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = cell(previous, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swapped = isSwap ? cell(beforePrevious, j - 2) + 1 : Infinity
      current.push(Math.min(cell(previous, j) + 1, cell(current, j - 1) + 1, substituted, swapped))
    }
    beforePrevious = previous
    previous = current
  }
  return cell(previous, b.length)
}

function cell(row: readonly number[], index: number): number {
  return row[index] ?? Infinity
}
