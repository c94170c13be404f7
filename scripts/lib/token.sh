# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The bearer token of a cluster: the file token in its directory, if it asks for one. It never is an
# argument of a program, where others on this machine could read it.

TOKEN= # what this run was given

token_file()
{
	printf '%s/token' "$DIR"
}

# token_read FILE: the token, put in TOKEN.
token_read()
{
	local LC_ALL=C # a range of characters follows the locale
	TOKEN=
	read -r TOKEN <"$1" 2>/dev/null || [[ -n $TOKEN ]] ||
		die_usage "--token-file must name a readable file whose first line is the token, not '$1'"
	TOKEN=${TOKEN%$'\r'}
	[[ ${#TOKEN} -le 4096 && $TOKEN =~ ^[!-~]+$ ]] ||
		die_usage "the token in '$1' must be 1 to 4096 visible characters of ASCII"
}

# token_choose FILE: what up was told, if anything; a running cluster keeps what it has.
token_choose()
{
	local name
	[[ -n $1 ]] || return 0
	token_read "$1"
	[[ ! -e $(token_file) || $(<"$(token_file)") != "$TOKEN" ]] || return 0
	while read -r name; do
		! daemon_runs "$name" || die_usage "the cluster in $DIR runs with another token, or none;" \
			"take it down before you give it this one"
	done < <(printf 'router\n'; node_names)
}

token_save()
{
	[[ -n $TOKEN ]] || return 0
	printf '%s\n' "$TOKEN" >"$(token_file).new"
	mv -f "$(token_file).new" "$(token_file)"
}

# with_token CURL-ARGUMENTS...: curl, which shows the cluster's token if it has one.
with_token()
{
	local token
	if [[ ! -e $(token_file) ]]; then
		curl "$@"
		return
	fi
	token=$(sed 's/[\\"]/\\&/g' "$(token_file)")
	curl -K <(printf 'header = "Authorization: Bearer %s"\n' "$token") "$@"
}
