// Runs one statement on the server that PGHOST, PGPORT, PGUSER and PGDATABASE name, as psql would, which not every machine has, and
// prints the first column.
import { Client } from 'pg'

const client = new Client()
await client.connect()
const { rows } = await client.query<unknown[]>({ text: process.argv[2] ?? '', rowMode: 'array' })
process.stdout.write(rows.map(([first]) => `${String(first)}\n`).join(''))
await client.end()
