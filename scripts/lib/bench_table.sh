# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Figures and their table. $TMP/figures has lines 'ROW SYSTEM ROUND THINGS-A-SECOND'; for the system
# 'requests' the number is a count.

# figure ROW SYSTEM ROUND LINE: LINE is 'UNIT=NUMBER seconds=NUMBER ...'.
figure()
{
	row_wanted "$1" || return 0
	awk -v row="$1" -v system_="$2" -v round="$3" '{
		split($1, things, "="); split($2, seconds, "=")
		divisor = things[1] == "bytes" ? 1048576 : 1
		printf "%s %s %d %.3f\n", row, system_, round, things[2] / divisor / seconds[2]
	}' <<<"$4" >>"$TMP/figures"
}

# cost ROW ROUND LINE BEFORE AFTER: what a file, a name or a MiB costs hexkv, in requests and in
# microseconds of the measuring program, the mount, the router and the nodes.
cost()
{
	row_wanted "$1" || return 0
	awk -v row="$1" -v round="$2" -v before="$4" -v after="$5" -v tick="$(getconf CLK_TCK)" '{
		split($1, things, "="); split($3, cpu, "=")
		split(before, b, " "); split(after, a, " ")
		count = things[1] == "bytes" ? things[2] / 1048576 : things[2]
		printf "%s requests %d %d\n", row, round, a[1] - b[1]
		printf "%s requests-each %d %.4f\n", row, round, (a[1] - b[1]) / count
		printf "%s cpu-program %d %.3f\n", row, round, cpu[2] * 1e6 / count
		for (i = 2; i <= 4; i++)
			printf "%s cpu-%d %d %.3f\n", row, i, round, (a[i] - b[i]) * 1e6 / tick / count
	}' <<<"$3" >>"$TMP/figures"
}

# Row, unit, the factor to reach and whom it is measured against: a system, or a fixed number.
goals()
{
	cat <<-'TEXT'
	create-1 files/s 1.5 davfs2
	create-4 files/s 1.5 davfs2
	create-4 files/s 0.5 passthrough
	open-cold files/s 2 davfs2
	open-warm files/s 2 davfs2
	stat-cold files/s 0 requests
	stat-cold files/s 1 passthrough
	stat-warm files/s 0 requests
	stat-warm files/s 1 passthrough
	unlink files/s 1 davfs2
	list names/s 500000 fixed
	write MiB/s 0.9 curl
	read-cold MiB/s 0.9 curl
	read-warm MiB/s 0.9 passthrough
	TEXT
}

# shellcheck disable=SC2016 # awk's
MEDIANS='
function median(list, n,    i, j, t) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && list[j] < list[j - 1]; j--) {
			t = list[j]; list[j] = list[j - 1]; list[j - 1] = t
		}
	return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}
function median_of(row, name,    list, n, r) {
	for (r = 1; r <= rounds; r++)
		if ((row, name, r) in value)
			list[++n] = value[row, name, r]
	return n ? median(list, n) : ""
}
function median_ratio(row, name,    list, n, r) {
	for (r = 1; r <= rounds; r++)
		if ((row, "hexkv", r) in value && value[row, name, r] > 0)
			list[++n] = value[row, "hexkv", r] / value[row, name, r]
	return n ? median(list, n) : ""
}
FNR == NR {
	value[$1, $2, $3] = $4
	known[$1] = 1
	next
}'

table_of_speed()
{
	local list
	list=$(IFS=,; printf '%s' "${SYSTEMS[*]}")
	goals | awk -v systems="$list" -v rounds="$ROUNDS" "$MEDIANS"'
		function number(x) {
			return x == "" ? "-" : sprintf("%.0f", x)
		}
		FNR == 1 {
			count = split(systems, name, ",")
			printf "%-10s %-8s", "", ""
			for (i = 1; i <= count; i++)
				printf " %11s", name[i]
			printf "   %-26s %s\n", "goal", "reached"
		}
		!($1 in known) { next }
		{
			printf "%-10s %-8s", $1 == last ? "" : $1, $1 == last ? "" : $2
			for (i = 1; i <= count; i++)
				printf " %11s", $1 == last ? "" : number(median_of($1, name[i]))
			last = $1
			if ($4 == "fixed") {
				goal = $3 " " $2
				reached = median_of($1, "hexkv")
				shown = reached == "" ? "-" : sprintf("%.2f of it", reached / $3)
				good = reached >= $3
			} else if ($4 == "requests") {
				goal = "no request to the router"
				reached = median_of($1, "requests")
				shown = number(reached) " requests"
				good = reached <= $3
			} else {
				goal = $3 " times " $4
				reached = median_ratio($1, $4)
				shown = reached == "" ? "-" : sprintf("%.2f times", reached)
				good = reached >= $3
			}
			printf "   %-26s %s%s\n", goal, shown, reached == "" || good ? "" : "  MISSED"
		}' "$TMP/figures" -
}

# The clock says little on a machine that others use too; this says more.
table_of_costs()
{
	printf '\nWhat one file, name or MiB costs hexkv: requests, microseconds of processor time\n'
	goals | awk -v rounds="$ROUNDS" "$MEDIANS"'
		FNR == 1 {
			printf "%-10s %10s %10s %10s %10s %10s\n", "", "requests", "program", "mount",
				"router", "nodes"
		}
		!(($1, "requests", 1) in value) || $1 == last { next }
		{
			last = $1
			printf "%-10s %10.2f %10.1f %10.1f %10.1f %10.1f\n", $1,
				median_of($1, "requests-each"), median_of($1, "cpu-program"),
				median_of($1, "cpu-2"), median_of($1, "cpu-3"), median_of($1, "cpu-4")
		}' "$TMP/figures" -
}

table_print()
{
	touch "$TMP/figures"
	printf '\n%d cores, Linux %s, %s; rounds: %d; %d files of 1 KiB, %d names, %d MiB\n\n' \
		"$(nproc)" "$(uname -r)" "$(date -u +%F)" "$ROUNDS" "$FILES" "$NAMES" "$MIB"
	table_of_speed
	[[ " ${SYSTEMS[*]} " != *' hexkv '* ]] || table_of_costs
}
