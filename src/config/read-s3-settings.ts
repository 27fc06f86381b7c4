import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { s3AccessSchema, type S3Access } from './configuration-schema.ts'
import { describeIssue } from './describe-issue.ts'
import { describeProblems } from './problem.ts'

/** Settings of a bucket as they were written, by their names: `path-style`. */
export type S3Text = Readonly<Record<string, string | number | boolean>>

/** Reads `NAME=VALUE`. Numbers and flags become what YAML would make of them. Throws `usage`; the value is not repeated. */
export function parseS3Setting(text: string): S3Text {
  const end = text.indexOf('=')
  const name = text.slice(0, end)
  if (end === -1 || !/^[a-z][a-z0-9-]*$/.test(name)) {
    throw new OperationError('usage', 'reading --s3: expected NAME=VALUE, found something else', {
      hint: 'Write "--s3 region=eu-central-1"; docs/s3.md lists the names.',
    })
  }
  const value = text.slice(end + 1)
  if (value === 'true' || value === 'false') return { [name]: value === 'true' }
  return { [name]: /^\d{1,9}$/.test(value) ? Number(value) : value }
}

/** The settings of one bucket with their defaults. Throws `usage` with everything that is wrong with them. */
export function readS3Settings(written: S3Text): S3Access {
  const known = Object.keys(s3AccessSchema.in.shape)
  const unknown = Object.keys(written).find((name) => !known.includes(name))
  if (unknown !== undefined) {
    throw new OperationError(
      'usage',
      `reading --s3: expected the name of a setting, found ${quote(unknown)}`,
      {
        hint: `Use one of ${known.join(', ')}.`,
      },
    )
  }
  const parsed = s3AccessSchema.safeParse(written)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.flatMap((issue) => describeIssue(issue, written, () => 'option --s3'))
  throw new OperationError('usage', describeProblems(problems), {
    hint: 'Correct this; docs/configuration.md describes every setting.',
  })
}
