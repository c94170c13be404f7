# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the scripts say: results to standard output, everything else to standard error.

say()
{
	printf 'hexkv: %s\n' "$*" >&2
}

# Bad arguments: one sentence, exit 2.
die_usage()
{
	say "$*"
	exit 2
}

# Anything else that stops the work: exit 1.
die()
{
	say "$*"
	exit 1
}

# A word as one would type it at a shell's prompt.
quoted()
{
	if [[ $1 =~ ^[A-Za-z0-9_./:@%+,-]+$ ]]; then
		printf '%s' "$1"
	else
		printf "'%s'" "${1//\'/\'\\\'\'}"
	fi
}
