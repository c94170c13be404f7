# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The tables of the storage engine. $TMP/figures has lines 'ROW PHASE SYSTEM ROUND NAME NUMBER'.

# Row, phase and the factor to reach, measured against the best of the peers.
engine_goals()
{
	local row phase
	for row in small kib large; do
		for phase in fill overwrite read missing mixed-read mixed-write list delete; do
			printf '%s %s %s\n' "$row" "$phase" "$([[ $row == large ]] && echo 2 || echo 1)"
		done
	done
	for row in synced-100 synced-1024 synced-65536; do
		printf '%s sync-1 1\n%s sync-8 2\n' "$row" "$row"
	done
	for row in growth-1 growth-10 open deleted; do
		for phase in fill read missing list delete list-deleted; do
			printf '%s %s 1\n' "$row" "$phase"
		done
	done
}

# shellcheck disable=SC2016 # awk's
ENGINE_MEDIANS='
function median(list, n,    i, j, t) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && list[j] < list[j - 1]; j--) {
			t = list[j]; list[j] = list[j - 1]; list[j - 1] = t
		}
	return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}
# Of all rounds; "" if there is none.
function of(row, phase, system_, name,    list, n, r) {
	for (r = 1; r <= rounds; r++)
		if ((row, phase, system_, r, name) in value)
			list[++n] = value[row, phase, system_, r, name]
	return n ? median(list, n) : ""
}
function number(x) {
	return x == "" ? "-" : x >= 100 ? sprintf("%.0f", x) : sprintf("%.3g", x)
}
FNR == NR {
	value[$1, $2, $3, $4, $5] = $6
	known[$1, $2] = 1
	next
}
FNR == 1 {
	count = split(systems, name, ",")
}'

# engine_each AWK: over the goals, with all figures known.
engine_each()
{
	local list
	list=$(IFS=,; printf '%s' "${SYSTEMS[*]}")
	engine_goals | awk -v rounds="$ROUNDS" -v systems="$list" "$ENGINE_MEDIANS$1" "$TMP/figures" -
}

engine_table_of_speed()
{
	# shellcheck disable=SC2016 # awk's
	engine_each '
		FNR == 1 {
			printf "%-12s %-12s", "operations/s", ""
			for (i = 1; i <= count; i++)
				printf " %11s", name[i]
			printf "   %s\n", "of the better peer"
		}
		!(($1, $2) in known) { next }
		{
			printf "%-12s %-12s", $1 == last ? "" : $1, $2
			last = $1
			best = 0
			for (i = 1; i <= count; i++) {
				x = of($1, $2, name[i], "per_second")
				printf " %11s", number(x)
				if (name[i] !~ /^hexkv/ && x > best)
					best = x
			}
			x = of($1, $2, "hexkv", "per_second")
			if (best > 0 && x > 0)
				printf "   %.2f times%s", x / best,
					(x >= best * $3) ? "" : "  (goal " $3 ")"
			printf "\n"
		}'
}

# engine_table_of TITLE PHASES NAME...: one column a system, the numbers separated by slashes.
engine_table_of()
{
	local title=$1 phases=$2
	shift 2
	# shellcheck disable=SC2016 # awk's
	engine_each '
		FNR == 1 {
			names = split("'"$*"'", field, " ")
			printf "\n%s\n%-12s %-12s", "'"$title"'", "", ""
			for (i = 1; i <= count; i++)
				printf " %20s", name[i]
			printf "\n"
		}
		!(($1, $2) in known) || index(" '"$phases"' ", " " $2 " ") == 0 { next }
		{
			printf "%-12s %-12s", $1 == last ? "" : $1, $2
			last = $1
			for (i = 1; i <= count; i++) {
				text = ""
				for (n = 1; n <= names; n++) {
					x = of($1, $2, name[i], field[n])
					if (field[n] == "size")
						x /= 1048576
					text = text (n > 1 ? " / " : "") number(x)
				}
				printf " %20s", text
			}
			printf "\n"
		}'
}

# The claims that are not about a peer.
engine_table_of_claims()
{
	awk -v rounds="$ROUNDS" -v systems=hexkv "$ENGINE_MEDIANS"'
		function claim(text, x, limit) {
			if (x != "")
				printf "  %-64s %8s%s\n", text, number(x), (x <= limit) ? "" : "  MISSED"
		}
		function over(a, b) {
			return a == "" || b == "" || b == 0 ? "" : a / b
		}
		END {
			printf "\nhexkv: what is to hold\n"
			claim("reads at ten times the records take (goal: 1.5 times)",
				over(of("growth-1", "read", "hexkv", "per_second"),
				of("growth-10", "read", "hexkv", "per_second")), 1.5)
			claim("a store of 10 GiB opens in ms (goal: 1000)",
				of("open", "reopen", "hexkv", "open_ms"), 1000)
			claim("overwrite: p99.9 of a put over its median (goal: 20)",
				over(of("small", "overwrite", "hexkv", "p999_us"),
				of("small", "overwrite", "hexkv", "p50_us")), 20)
			claim("overwrite: runs at most (cap: 24)", of("small", "overwrite", "hexkv", "runs"), 24)
			claim("a call of list behind deletions, p99 in us, over one before (goal: 10)",
				over(of("deleted", "list-deleted", "hexkv", "page_p99_us"),
				of("deleted", "list", "hexkv", "page_p99_us")), 10)
		}' "$TMP/figures" /dev/null
}

engine_table_print()
{
	touch "$TMP/figures"
	printf '\n%d cores, Linux %s, %s; load before: %s; medians of %d rounds; %d records of 100 bytes\n\n' \
		"$(nproc)" "$(uname -r)" "$(date -u +%F)" "$LOAD_BEFORE" "$ROUNDS" "$RECORDS"
	engine_table_of_speed
	engine_table_of 'p50 / p99 / p99.9 in us' \
		'fill overwrite read missing mixed-read mixed-write delete sync-1 sync-8' p50_us p99_us p999_us
	engine_table_of 'the longest write in us' 'fill overwrite mixed-write delete sync-8' max_us
	engine_table_of 'bytes written for each of the user / MiB on disk at the end' \
		'fill overwrite sync-1 sync-8' written size
	engine_table_of 'resident bytes a key' read rss_a_key
	engine_table_of_claims
}
