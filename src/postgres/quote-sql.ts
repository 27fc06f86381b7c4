import { escapeIdentifier, escapeLiteral } from 'pg'

/** A name as SQL takes it, whatever it contains. */
export const quoteIdentifier = (name: string): string => escapeIdentifier(name)

/** Text as SQL takes it, whatever it contains and however the session is set. */
export const quoteLiteral = (text: string): string => escapeLiteral(text)
