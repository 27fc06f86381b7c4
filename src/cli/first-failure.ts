/**
 * What went wrong first. When the work fails and closing something fails after it, the language wraps both (SuppressedError):
 * the operator needs the failure of the work, which made the rest fail too.
 */
export function firstFailure(error: unknown): unknown {
  let first = error
  while (first instanceof SuppressedError) first = first.suppressed
  return first
}
