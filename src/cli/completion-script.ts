import type { Command, Option } from 'commander'

export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

/** A script for the shell that completes what the program knows: commands, options and the values they may take. */
export function completionScript(program: Command, shell: Shell): string {
  const levels = levelsOf(program, [])
  switch (shell) {
    case 'bash':
      return bashScript(levels)
    case 'zsh':
      return zshScript(levels)
    case 'fish':
      return fishScript(levels)
  }
}

/** What may follow after some commands were typed. */
interface Level {
  /** The commands that led here: none, `config`, or `config show`. */
  readonly path: readonly string[]
  readonly commands: readonly { readonly name: string; readonly description: string }[]
  readonly options: readonly Option[]
  /** What the first argument may be, when it is one of a few words. */
  readonly values: readonly string[]
}

function levelsOf(command: Command, path: readonly string[]): readonly Level[] {
  const help = command.createHelp()
  const commands = command.commands.map((child) => ({ name: child.name(), description: child.description() }))
  const values = command.registeredArguments[0]?.argChoices ?? []
  const level = {
    path,
    commands,
    options: [...help.visibleOptions(command), ...globalOptions(command)],
    values,
  }
  return [level, ...command.commands.flatMap((child) => levelsOf(child, [...path, child.name()]))]
}

/** The options of the commands around it, which may stand after it too. */
function globalOptions(command: Command): readonly Option[] {
  return command.parent === null ? [] : [...command.parent.options, ...globalOptions(command.parent)]
}

function bashScript(levels: readonly Level[]): string {
  return `# bash completion for holdfast. Load it with: source <(holdfast completion bash)
_holdfast() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="" path="" word words=""
  if ((COMP_CWORD > 0)); then previous="\${COMP_WORDS[COMP_CWORD - 1]}"; fi
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path/$word" in
${pathCases(levels, '      ')}
    esac
  done
  case "$previous" in
${valueCases(levels, (values) => `words="${values}"`)}
    *)
      case "$path" in
${levels.map((level) => `        "${pathOf(level)}") words="${wordsOf(level)}" ;;`).join('\n')}
      esac
      ;;
  esac
  # shellcheck disable=SC2207
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _holdfast holdfast
`
}

function zshScript(levels: readonly Level[]): string {
  return `#compdef holdfast
# zsh completion for holdfast. Put it into a directory of $fpath as _holdfast.
_holdfast() {
  local previous="\${words[CURRENT-1]}" level="" word
  local -a known
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$level/$word" in
${pathCases(levels, '      ').replaceAll('path=', 'level=')}
    esac
  done
  case "$previous" in
${valueCases(levels, (values) => `known=(${values})`)}
    *)
      case "$level" in
${levels.map((level) => `        "${pathOf(level)}") known=(${wordsOf(level)}) ;;`).join('\n')}
      esac
      ;;
  esac
  if ((\${#known})); then compadd -- "\${known[@]}"; else _files; fi
}
if [ "$funcstack[1]" = "_holdfast" ]; then _holdfast "$@"; else compdef _holdfast holdfast; fi
`
}

function fishScript(levels: readonly Level[]): string {
  const lines = levels.flatMap((level) => {
    const condition = fishCondition(level)
    const start = `complete -c holdfast ${condition}`
    return [
      ...level.commands.map(({ name, description }) => `${start} -f -a ${name} -d ${fishQuote(description)}`),
      ...level.values.map((value) => `${start} -f -a ${value}`),
      ...level.options.map((option) => `${start} ${fishOption(option)}`),
    ]
  })
  return `# fish completion for holdfast. Put it into ~/.config/fish/completions/holdfast.fish.\n${lines.join('\n')}\n`
}

function fishCondition({ path, commands }: Level): string {
  if (path.length === 0) return '-n __fish_use_subcommand'
  const seen = path.map((name) => `__fish_seen_subcommand_from ${name}`)
  const names = commands.map(({ name }) => name).join(' ')
  const unseen = names === '' ? [] : [`not __fish_seen_subcommand_from ${names}`]
  return `-n ${fishQuote([...seen, ...unseen].join('; and '))}`
}

function fishOption(option: Option): string {
  const long = option.long?.replace(/^--/, '') ?? ''
  const values = option.argChoices === undefined ? '' : ` -f -a ${fishQuote(option.argChoices.join(' '))}`
  const value = option.required || option.optional ? ` -r${values}` : ''
  return `-l ${long}${value} -d ${fishQuote(option.description)}`
}

function fishQuote(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`
}

function pathCases(levels: readonly Level[], indent: string): string {
  return levels
    .filter(({ path }) => path.length > 0)
    .map((level) => `${indent}"${pathOf(level)}") path="${pathOf(level)}" ;;`)
    .join('\n')
}

/** After an option that takes one of a few words: these. After one that takes something else: what the shell thinks best. */
function valueCases(levels: readonly Level[], offer: (values: string) => string): string {
  const options = new Map(
    levels.flatMap((level) => level.options).map((option) => [option.long ?? '', option]),
  )
  return [...options]
    .filter(([long, option]) => long !== '' && (option.required || option.optional))
    .map(([long, option]) => `    ${long}) ${offer((option.argChoices ?? []).join(' '))} ;;`)
    .join('\n')
}

function pathOf({ path }: Level): string {
  return path.map((name) => `/${name}`).join('')
}

function wordsOf({ commands, options, values }: Level): string {
  const flags = options.flatMap(({ long }) => (long === undefined ? [] : [long]))
  return [...new Set([...commands.map(({ name }) => name), ...values, ...flags])].join(' ')
}
