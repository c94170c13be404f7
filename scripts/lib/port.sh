# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Who listens where.

# Addresses that 127.0.0.1 can not be bound beside.
PORT_ADDRESSES='^(127\.0\.0\.1|127\.0\.0\.1%lo|0\.0\.0\.0|\*|\[::\]|\[::ffff:127\.0\.0\.1\])$'

# port_holder PORT: false if the port is free on loopback; else true and who holds it, if known.
port_holder()
{
	local address rest
	while read -r _ _ _ address _ rest; do
		[[ ${address%:*} =~ $PORT_ADDRESSES ]] || continue
		if [[ $rest =~ \"([^\"]*)\",pid=([0-9]+) ]]; then
			printf ' by %s (pid %s)' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
		fi
		return 0
	done < <(ss -Hltnp "sport = :$1" 2>/dev/null)
	return 1
}
