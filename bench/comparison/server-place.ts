/** What a tool is told of a server that it is to protect. */
export interface ServerPlace {
  readonly dataDirectory: string
  readonly binDirectory: string
  readonly socketDirectory: string
  readonly port: number
}

export const connectionString = ({ socketDirectory, port }: ServerPlace): string =>
  `host=${socketDirectory} port=${port} user=postgres dbname=postgres`
