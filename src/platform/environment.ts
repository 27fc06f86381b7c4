/** The variables that a process was started with. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The variables of this process. The only place that reads them. */
export function processEnvironment(): Environment {
  return { ...process.env }
}

/** Changes one variable of this process and of the children that it starts from now on. */
export function setEnvironmentVariable(name: string, value: string): void {
  process.env[name] = value
}
