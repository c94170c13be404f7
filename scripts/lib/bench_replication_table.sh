# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The table of replication. $TMP/figures has lines 'ROW VARIANT ROUND NAME NUMBER'; the variant is the
# number of followers, or what acknowledges, or how a copy is fetched.

# shellcheck disable=SC2016 # awk's
REPLICATION_MEDIANS='
function median(list, n,    i, j, t) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && list[j] < list[j - 1]; j--) {
			t = list[j]; list[j] = list[j - 1]; list[j - 1] = t
		}
	return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}
# Of all rounds; "" if there is none.
function of(row, variant, name,    list, n, r) {
	for (r = 1; r <= rounds; r++)
		if ((row, variant, r, name) in value)
			list[++n] = value[row, variant, r, name]
	return n ? median(list, n) : ""
}
function greatest(row, variant, name,    most, r) {
	for (r = 1; r <= rounds; r++)
		if (value[row, variant, r, name] > most)
			most = value[row, variant, r, name]
	return most + 0
}
# In each round by itself.
function ratio(row, a, b, name,    list, n, r) {
	for (r = 1; r <= rounds; r++)
		if ((row, a, r, name) in value && value[row, b, r, name] > 0)
			list[++n] = value[row, a, r, name] / value[row, b, r, name]
	return n ? median(list, n) : ""
}
# Four gigayears of milliseconds stand for a lag past what the leader remembers.
function ms(x) {
	return x == "" ? "-" : x > 4e9 ? ">3000" : sprintf("%.0f", x)
}
{
	value[$1, $2, $3, $4] = $5
	known[$1] = 1
}'

table_of_followers()
{
	printf '%-13s %9s %9s %7s %9s %9s   %-23s %7s %8s\n' '' '' writes/s cost 'us of' 'us of all' \
		'lag ms' 'lag' 'catch up'
	printf '%-13s %9s %9s %7s %9s %9s   %-23s %7s %8s\n' '' followers '' '' leader followers \
		'p50 / p99 / most' records ms
	awk -v rounds="$ROUNDS" -v rows="${REPLICATION_ROWS[*]}" "$REPLICATION_MEDIANS"'
		END {
			count = split(rows, row, " ")
			for (i = 1; i <= count; i++) {
				if (!(row[i] in known) || row[i] == "acks" || row[i] == "bootstrap")
					continue
				for (n = 0; n <= 2; n++)
					line(row[i], n)
			}
		}
		function line(row, n,    kept, lag) {
			kept = n > 0 ? ratio(row, n, n - 1, "writes-a-second") : ""
			lag = n == 0 ? "" : sprintf("%s / %s / %s", ms(of(row, n, "lag-p50-ms")),
				ms(of(row, n, "lag-p99-ms")), ms(greatest(row, n, "lag-max-ms")))
			printf "%-13s %9d %9.0f %7s %9.1f %9.1f   %-23s %7s %8s\n", n == 0 ? row : "", n,
				of(row, n, "writes-a-second"),
				kept == "" ? "" : sprintf("%.0f %%", 100 * (1 - kept)),
				of(row, n, "leader-us"), of(row, n, "followers-us"), lag,
				n == 0 ? "" : sprintf("%d", greatest(row, n, "lag-max-records")),
				n == 0 ? "" : sprintf("%.0f", of(row, n, "catch-up-ms"))
		}' "$TMP/figures"
	cat <<-'TEXT'

	cost: what one follower more takes of the throughput (goal: under 25 %). us: microseconds of
	processor time for one write, until the followers have it. Goal for lag: p99 under 100 ms.
	-apart: load and leader on one core, all followers on another. Else all share all cores.
	TEXT
}

table_of_acks()
{
	printf '\nOne write at a time on 4 connections, 2 followers, all on disk: ms\n'
	awk -v rounds="$ROUNDS" "$REPLICATION_MEDIANS"'
		END {
			count = split("leader quorum all", ack, " ")
			for (i = 1; i <= count; i++)
				printf "  HexKV-Ack: %-7s p50 %7.2f   p99 %7.2f\n", ack[i],
					of("acks", ack[i], "p50-us") / 1e3, of("acks", ack[i], "p99-us") / 1e3
		}' "$TMP/figures"
}

table_of_bootstrap()
{
	printf '\nThe same writes while a follower fetches a copy of %d MiB (goal: p99 within 3 times)\n' \
		"$MIB"
	awk -v rounds="$ROUNDS" -v rate="$BOOTSTRAP_MIB" "$REPLICATION_MEDIANS"'
		END {
			show("without", "no follower")
			show("no-limit", "without a limit")
			show("limited", "--bootstrap-rate " rate "M")
		}
		function show(variant, text,    times) {
			times = ratio("bootstrap", variant, "without", "p99-us")
			printf "  %-22s p50 %7.2f   p99 %7.2f", text, of("bootstrap", variant, "p50-us") / 1e3,
				of("bootstrap", variant, "p99-us") / 1e3
			if (variant != "without")
				printf "   %.1f times; took %.1f s%s", times,
					of("bootstrap", variant, "seconds"), times <= 3 ? "" : "  MISSED"
			printf "\n"
		}' "$TMP/figures"
}

has_figures()
{
	grep -q "^$1 " "$TMP/figures"
}

replication_table_print()
{
	printf '\n%d cores shared by leader, followers and load; Linux %s, %s; load before: %s; %s\n\n' \
		"$(nproc)" "$(uname -r)" "$(date -u +%F)" "$LOAD_BEFORE" \
		"medians of $ROUNDS rounds of at most $SECONDS_EACH s"
	! grep -q ' writes-a-second ' "$TMP/figures" || table_of_followers
	! has_figures acks || table_of_acks
	! has_figures bootstrap || table_of_bootstrap
}
