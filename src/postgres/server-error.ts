import { DatabaseError } from 'pg'
import { OperationError, type OperationErrorCode } from '../domain/operation-error.ts'
import { describeConninfo, type Conninfo } from './conninfo.ts'
import { quoteIdentifier } from './quote-sql.ts'

/** Why a statement is run, for the error when it fails. */
export interface StatementPurpose {
  /** Ends the sentence "... failed while": "starting a backup". */
  readonly doing: string
  /** What must be granted to the role when it lacks the privilege: "EXECUTE ON FUNCTION pg_catalog.x()" or a role. */
  readonly grant?: string
}

interface Classification {
  readonly code: OperationErrorCode
  readonly hint?: string
}

/** By SQLSTATE (PostgreSQL manual, appendix A). */
const sqlStates: Readonly<Record<string, Classification>> = {
  '28P01': { code: 'server-lacks-privilege', hint: 'Check the password in the password file.' },
  '28000': { code: 'server-lacks-privilege', hint: 'Check the role, and the line for it in pg_hba.conf.' },
  '3D000': { code: 'config-invalid', hint: 'Name an existing database in dbname, for example postgres.' },
  '53300': { code: 'server-unreachable', hint: 'All connections are taken; raise max_connections or wait.' },
  '57P01': { code: 'server-unreachable', hint: 'An administrator ended the session or stopped the server.' },
  '57P02': { code: 'server-unreachable', hint: 'A server process crashed; see the server log.' },
  '57P03': { code: 'server-unreachable', hint: 'Wait until the server has started.' },
}

/** Errors of sockets and name look-up. */
const socketCodes: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Check that the server runs and listens there.',
  ENOENT: 'Check the socket directory and the port, and that the server runs.',
  ECONNRESET: 'The server hung up: it stopped, or one of its processes crashed; see the server log.',
  EPIPE: 'The server hung up: it stopped, or one of its processes crashed; see the server log.',
  EACCES: 'Check the permissions of the socket directory.',
  ENOTFOUND: 'Check the host name.',
  EAI_AGAIN: 'Check the name server.',
}

/** Turns what the driver throws into a failure that an operator can act on. */
export function toOperationError(
  error: unknown,
  conninfo: Conninfo,
  purpose: StatementPurpose,
): OperationError {
  if (error instanceof OperationError) return error
  const { code, hint } = classify(error, conninfo, purpose)
  const message = `${purpose.doing} on ${describeConninfo(conninfo)} failed: ${messageOf(error)}`
  return new OperationError(code, message, { cause: error, ...(hint === undefined ? {} : { hint }) })
}

/** Whether the failure is what a server said, as opposed to none being there. */
export function isServerAnswer(error: unknown): boolean {
  return sqlStateOf(error instanceof OperationError ? error.cause : error) !== undefined
}

/** Whether the server said that it lets nobody in yet, or no more: it is starting, recovering or shutting down. */
export function isServerStarting({ cause }: OperationError): boolean {
  return sqlStateOf(cause) === '57P03'
}

/** The five characters that PostgreSQL names its errors with; undefined for what was no answer of a server. */
function sqlStateOf(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined
}

function classify(error: unknown, conninfo: Conninfo, purpose: StatementPurpose): Classification {
  const state = sqlStateOf(error)
  if (state === '42501') return { code: 'server-lacks-privilege', ...grantHint(conninfo.user, purpose.grant) }
  if (state !== undefined) return sqlStates[state] ?? { code: 'server-failed' }
  return classifyDriverError(error)
}

function classifyDriverError(error: unknown): Classification {
  const message = messageOf(error)
  if (/password/i.test(message)) {
    return {
      code: 'server-lacks-privilege',
      hint: 'The server asks for a password: put one into the password file, mode 0600.',
    }
  }
  if (/certificate|altnames|self.signed|SSL/i.test(message)) {
    return {
      code: 'server-unreachable',
      hint: 'Check sslmode and sslrootcert against the certificate of the server.',
    }
  }
  const hint = socketCodes[codeOf(error) ?? '']
  return { code: 'server-unreachable', ...(hint === undefined ? {} : { hint }) }
}

function grantHint(user: string, grant: string | undefined): { hint: string } {
  const what = grant ?? 'the missing privilege'
  return { hint: `As a superuser, run: GRANT ${what} TO ${quoteIdentifier(user)};` }
}

/** What the server said, or the driver, without our words around it. */
export function serverWords(error: unknown): string {
  return messageOf(error instanceof OperationError && error.cause !== undefined ? error.cause : error)
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ')
  return error instanceof Error ? error.message : String(error)
}
