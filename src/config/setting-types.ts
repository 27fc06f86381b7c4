import { z } from 'zod'
import { parseByteSize } from '../domain/byte-size.ts'
import { parseDurationMs } from '../domain/duration.ts'
import { isOperationError } from '../domain/operation-error.ts'

/*
 * What a setting may be. The error text says what is expected; where the value stands and what was found is added by
 * `describe-issue.ts`.
 */

export function wholeNumber(least: number, most: number): z.ZodInt {
  const error = `a whole number from ${least} to ${most}`
  return z.int(error).min(least, error).max(most, error)
}

export function flag(): z.ZodBoolean {
  return z.boolean('true or false')
}

/** One of these names. */
export function choice<const Names extends readonly [string, ...string[]]>(
  names: Names,
): z.ZodEnum<z.core.util.ToEnum<Names[number]>> {
  return z.enum(names, names.map((name) => `"${name}"`).join(' or '))
}

export function absolutePath(): z.ZodString {
  return z.string('an absolute path').regex(/^\/[^\0\n]*$/, 'an absolute path')
}

/** Text that stands for an amount greater than zero. */
type Amount = z.ZodPipe<z.ZodString, z.ZodTransform<number, string>>

/** In bytes. */
export function byteSize(): Amount {
  return amount('a size such as "100MB" or "1.5GB"', parseByteSize)
}

/** In milliseconds. */
export function duration(): Amount {
  return amount('a duration such as "30s" or "1h30m"', parseDurationMs)
}

/** `parse` refuses what it does not understand. */
function amount(expected: string, parse: (text: string) => number): Amount {
  return z.string(expected).transform((text, context) => {
    const parsed = understood(parse, text)
    if (parsed !== undefined && parsed > 0) return parsed
    context.addIssue({ code: 'custom', message: expected })
    return z.NEVER
  })
}

function understood(parse: (text: string) => number, text: string): number | undefined {
  try {
    return parse(text)
  } catch (error) {
    if (isOperationError(error, 'usage')) return undefined
    throw error
  }
}
