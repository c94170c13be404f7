# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Installs what scripts/packages lists and this machine lacks.

package_is_there()
{
	case $1 in
	command:*) command -v "${1#*:}" >/dev/null ;;
	library:*) pkg-config --exists "${1#*:}" 2>/dev/null ;;
	file:*) [[ -e ${1#*:} ]] ;;
	*) die "scripts/packages: '$1' is not command:, library: or file:" ;;
	esac
}

# missing_packages GROUP...: names, one a line.
missing_packages()
{
	local group package probe
	while read -r group package probe; do
		[[ $group != '#'* && " $* " == *" $group "* ]] || continue
		package_is_there "$probe" || printf '%s\n' "$package"
	done <"$ROOT/scripts/packages"
}

# Nothing that is installed starts a service: policy-rc.d, which Debian asks, says no meanwhile.
apt_install()
{
	local policy=/usr/sbin/policy-rc.d status=0 ours=0
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q </dev/null >&2 || return
	if [[ ! -e $policy ]]; then
		ours=1
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	apt-get install -q -y --no-install-recommends "$@" </dev/null >&2 || status=$?
	((!ours)) || rm -f "$policy"
	return "$status"
}

# packages_wish GROUP...: as root by apt; whoever can't have them goes on without.
packages_wish()
{
	local missing
	mapfile -t missing < <(missing_packages "$@")
	((${#missing[@]} > 0)) || return 0
	if ((EUID == 0)) && command -v apt-get >/dev/null; then
		say "installing ${missing[*]}"
		! apt_install "${missing[@]}" || return 0
	fi
	say "without ${missing[*]} some tests are skipped"
}

# packages_install GROUP...: as root by apt; otherwise says what to install and ends with 1.
packages_install()
{
	local missing
	mapfile -t missing < <(missing_packages "$@")
	((${#missing[@]} > 0)) || return 0
	if ! command -v apt-get >/dev/null; then
		die "missing here: ${missing[*]} (Debian's names); install them and run this again"
	fi
	if ((EUID != 0)); then
		say "some packages are missing; install them and run this again:"
		printf 'sudo apt-get install -y --no-install-recommends %s\n' "${missing[*]}"
		exit 1
	fi
	say "installing ${missing[*]}"
	apt_install "${missing[@]}" || die "apt-get failed; its messages are above"
}
