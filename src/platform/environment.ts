import { homedir } from 'node:os'

/** The variables that a process was started with. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The variables of this process. The only place that reads them. */
export function processEnvironment(): Environment {
  return { ...process.env }
}

/** The home directory of the user: of HOME, else of /etc/passwd; undefined when neither knows one. */
export function homeDirectory(): string | undefined {
  try {
    return homedir()
  } catch {
    // A uid that the machine does not know, as in containers: then there is no home to look into.
    return undefined
  }
}

/** Changes one variable of this process and of the children that it starts from now on. */
export function setEnvironmentVariable(name: string, value: string): void {
  process.env[name] = value
}
