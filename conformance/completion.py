# SPDX-License-Identifier: GPL-2.0-only
"""Completion for bash and zsh, of the same argparse that reads the command line.

setup.py writes it into what it builds. What an argument's value may be is told by its name there;
names of cases and kernels are asked of the origax that stands on the command line.
"""

from __future__ import annotations

from typing import Final

from conformance.doors import DOORS
from conformance.manual import Argument, Command

FILE, DIRECTORY, CASE, KERNEL, NOTHING = "file", "directory", "case", "kernel", ""
VALUES: Final = {
    "FILE": FILE, "RECORD": FILE, "DIR": DIRECTORY, "PATTERN": CASE, "CASE": CASE,
    "KERNEL": KERNEL, "NAME": KERNEL,
}  # fmt: skip
"""What stands for an argument, by the name of its value; for any other nothing."""


def words(argument: Argument) -> tuple[str, ...]:
    """List what the value must be one of, if that is known."""
    return tuple(DOORS) if argument.value == "DOOR" else argument.choices


def kind(argument: Argument) -> str:
    """Say which kind of thing the value is."""
    return VALUES.get(argument.value.split(" ")[0], NOTHING)


_BASH: Final = """\
# Completion for bash, made of the parser of origax's command line.

__origax_ask()
{
	case $1 in
	words) compgen -W "$2" -- "$cur" ;;
	file) compgen -f -- "$cur" ;;
	directory) compgen -d -- "$cur" ;;
	case) compgen -W "$("$origax" list 2>/dev/null |
		sed 's/ .*//; p; s/[.].*//' | sort -u)" -- "$cur" ;;
	kernel) compgen -W "all $("$origax" kernels list 2>/dev/null |
		sed 's/ .*//')" -- "$cur"
		compgen -f -- "$cur" ;;
	esac
}

_origax()
{
	local origax=${1/#\\~/$HOME} cur=${COMP_WORDS[COMP_CWORD]} at=origax
	local options= place= previous=${COMP_WORDS[COMP_CWORD - 1]} value= i
	if [[ $cur == = ]]; then
		cur=
	elif [[ $previous == = ]]; then
		previous=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		case "$at ${COMP_WORDS[i]}" in
@COMMANDS@)
			at+=" ${COMP_WORDS[i]}"
			;;
		esac
	done
	case $at in
@PLACES@
	esac
	case "$at $previous" in
@OPTIONS@
	esac
	if [[ $value ]]; then
		place=$value
	elif [[ $cur == -* ]]; then
		place="words $options"
	fi
	[[ $place =~ ^(file|directory|kernel) ]] && compopt -o filenames
	mapfile -t COMPREPLY < <(__origax_ask "${place%% *}" "${place#* }")
}
complete -F _origax origax origax.pyz
"""


def bash(tree: Command) -> str:
    """Write the completion for bash."""
    commands, places, options = [], [], []
    for each in tree.walk():
        at = " ".join(each.path)
        if each is not tree:
            commands.append(f'\t\t"{at}"')
        flags = " ".join(flag for option in each.options for flag in option.flags)
        place = _bash_place(each)
        places.append(f'\t"{at}")\n\t\toptions="{flags}"\n\t\tplace="{place}"\n\t\t;;')
        for option in each.options:
            if option.value:
                matched = " | ".join(f'"{at} {flag}"' for flag in option.flags)
                options.append(f'\t{matched}) value="{_bash_value(option)}" ;;')
    text = _BASH.replace("@COMMANDS@", " | \\\n".join(commands))
    return text.replace("@PLACES@", "\n".join(places)).replace("@OPTIONS@", "\n".join(options))


def _bash_place(command: Command) -> str:
    if command.below:
        return f"words {' '.join(each.path[-1] for each in command.below)}"
    return _bash_value(command.places[0]) if command.places else ""


def _bash_value(argument: Argument) -> str:
    known = words(argument)
    return f"words {' '.join(known)}" if known else kind(argument) or "nothing"


_ZSH: Final = """\
#compdef origax origax.pyz
# Completion for zsh, made of the parser of origax's command line.

__origax_cases()
{
	local -a cases
	cases=(${(f)"$($__origax list 2>/dev/null | sed 's/ .*//; p; s/[.].*//' | sort -u)"})
	compadd -a cases
}

__origax_kernels()
{
	local -a kernels
	kernels=(all ${(f)"$($__origax kernels list 2>/dev/null | sed 's/ .*//')"})
	compadd -a kernels
	_files
}

@FUNCTIONS@
_origax "$@"
"""
_ZSH_GROUP: Final = """\
@NAME@()
{
	local context state state_descr line __origax=${__origax:-${words[1]/#\\~/$HOME}}
	local -a commands
	typeset -A opt_args
	_arguments -s -C @SPECS@
	case $state in
	command)
		commands=(@COMMANDS@)
		_describe command commands
		;;
	rest)
		(($+functions[@NAME@_$words[1]])) && @NAME@_$words[1]
		;;
	esac
}
"""
_ZSH_ACTIONS: Final = {
    FILE: "_files", DIRECTORY: "_files -/", CASE: "__origax_cases", KERNEL: "__origax_kernels",
    NOTHING: " ",
}  # fmt: skip


def zsh(tree: Command) -> str:
    """Write the completion for zsh."""
    return _ZSH.replace("@FUNCTIONS@", "\n".join(_zsh_function(each) for each in tree.walk()))


def _zsh_function(command: Command) -> str:
    name = "_".join(("", *command.path))
    specs = [_zsh_option(each) for each in command.options]
    specs += [_zsh_place(each) for each in command.places]
    if not command.below:
        return f"{name}()\n{{\n\t_arguments -s {_zsh_lines(specs)}\n}}\n"
    specs += [_zsh_quoted(": :->command"), _zsh_quoted("*:: :->rest")]
    below = [_zsh_quoted(f"{each.path[-1]}:{each.summary}") for each in command.below]
    text = _ZSH_GROUP.replace("@NAME@", name).replace("@SPECS@", _zsh_lines(specs))
    return text.replace("@COMMANDS@", _zsh_lines(below))


def _zsh_lines(parts: list[str]) -> str:
    return "".join(f" \\\n\t\t{part}" for part in parts).lstrip()


def _zsh_option(option: Argument) -> str:
    flags = option.flags if not option.many else tuple(f"*{flag}" for flag in option.flags)
    value = f":{option.value}:{_zsh_action(option)}" if option.value else ""
    spec = _zsh_quoted(f"[{_zsh_escaped(option.help)}]{value}")
    if len(flags) == 1:
        return f"{flags[0]}{spec}"
    return f"'({' '.join(option.flags)})'{{{','.join(flags)}}}{spec}"


def _zsh_place(argument: Argument) -> str:
    many = "*" if argument.many or " " in argument.value else ""
    return _zsh_quoted(f"{many}:{argument.value}:{_zsh_action(argument)}")


def _zsh_action(argument: Argument) -> str:
    known = words(argument)
    return f"({' '.join(known)})" if known else _ZSH_ACTIONS[kind(argument)]


def _zsh_escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "[]:\\" else letter for letter in text)


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
