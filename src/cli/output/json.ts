import type { JsonDocument } from '../../api/json-document.ts'

/** One JSON document, a newline at its end. A bigint becomes a string: JSON's numbers do not hold it (R71). */
export function formatJson(document: JsonDocument): string {
  return `${JSON.stringify(document, toJsonValue, 2)}\n`
}

function toJsonValue(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
