# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The tables of the storage engine, in Markdown. $TMP/figures has lines
# 'ROW PHASE SYSTEM ROUND NAME NUMBER'.

# Row, phase, the factor to reach, measured against the better peer (0: none), and what it is called.
engine_goals()
{
	local row size factor
	for row in small kib large; do
		case $row in
		small) size='100 B' factor=1 ;;
		kib) size='1 KiB' factor=1 ;;
		large) size='64 KiB' factor=2 ;;
		esac
		printf "$row %s $factor $size, %s\n" fill 'fill random' overwrite 'overwrite' \
			read 'read random' missing 'read missing' \
			mixed-read 'read while writing' mixed-write 'write while reading' \
			list 'list pages of 1000, names' delete 'delete'
	done
	for row in synced-100 synced-1024 synced-65536; do
		case $row in
		*-100) size='100 B' ;;
		*-1024) size='1 KiB' ;;
		*-65536) size='64 KiB' ;;
		esac
		printf "$row %s $size, synced, %s\n" 'sync-1 1' '1 thread' 'sync-8 2' '8 threads'
	done
	printf 'deleted %s\n' 'list 1 100 B, list before deleting all, names' \
		'list-deleted 0 100 B, list all behind the deletions'
	printf '%s\n' "growth-1 read 0 100 B, read of $RECORDS, small cache" \
		"growth-1 missing 0 100 B, read missing of $RECORDS, small cache" \
		'growth-10 load 0 100 B, fill ten times as many by 8 threads' \
		'growth-10 read 1 100 B, read of ten times as many' \
		'growth-10 missing 1 100 B, read missing of ten times as many' \
		'growth-10 reopen 0 100 B, open ten times as many' \
		'growth-10 reopen-cold 0 100 B, open ten times as many, nothing in memory' \
		'open load 0 1 KiB, fill 10 GiB by 8 threads' \
		'open reopen 0 1 KiB, open 10 GiB' \
		'open reopen-cold 0 1 KiB, open 10 GiB, nothing in memory' \
		'open read 1 1 KiB, read from 10 GiB'
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
function of(row, phase, system_, field,    list, n, r) {
	for (r = 1; r <= rounds; r++)
		if ((row, phase, system_, r, field) in value)
			list[++n] = value[row, phase, system_, r, field]
	return n ? median(list, n) : ""
}
# How many times the best of the peers @system_ does a second; or, of what is to be small, the other way.
function times(row, phase, system_, field, small,    list, n, r, i, best, x) {
	for (r = 1; r <= rounds; r++) {
		best = ""
		for (i = 1; i <= count; i++)
			if (name[i] !~ /^hexkv/ && (row, phase, name[i], r, field) in value) {
				x = value[row, phase, name[i], r, field]
				if (best == "" || (small ? x < best : x > best))
					best = x
			}
		if (best > 0 && value[row, phase, system_, r, field] > 0) {
			x = value[row, phase, system_, r, field] / best
			list[++n] = small ? 1 / x : x
		}
	}
	return n ? median(list, n) : ""
}
function number(x,    text, n) {
	if (x == "")
		return "-"
	if (x < 1000)
		return x >= 100 || x == int(x) ? sprintf("%.0f", x) : sprintf("%.3g", x)
	text = sprintf("%.0f", x)
	for (n = length(text) - 3; n > 0; n -= 3)
		text = substr(text, 1, n) "," substr(text, n + 1)
	return text
}
function title(    i, text) {
	for (i = 4; i <= NF; i++)
		text = text (i > 4 ? " " : "") $i
	return text
}
function line(    i, text) {
	text = "|---|"
	for (i = 1; i <= columns; i++)
		text = text "---|"
	print text
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

# engine_table_of_speed SHORT: with the columns of hexkv alone, or those of all.
engine_table_of_speed()
{
	# shellcheck disable=SC2016 # awk's
	engine_each '
		function factor(system_,    x) {
			x = times($1, $2, system_, "per_second", 0)
			return x == "" ? "-" : sprintf("%.2f%s", x, x >= $3 ? "" : " (goal " $3 ")")
		}
		FNR == 1 {
			short = '"$1"'
			text = "| a second |"
			for (i = 1; i <= count; i++)
				if (!short || name[i] ~ /^hexkv/) {
					text = text " " name[i] " |"
					columns++
				}
			text = text " 1 MiB: times the better peer | 64 MiB |"
			columns += 2
			print text
			line()
		}
		!(($1, $2) in known) { next }
		{
			text = "| " title() " |"
			for (i = 1; i <= count; i++)
				if (!short || name[i] ~ /^hexkv/)
					text = text " " number(of($1, $2, name[i], "per_second")) " |"
			print text " " factor("hexkv") " | " factor("hexkv-64") " |"
		}'
}

# engine_table_of TITLE PHASES NAME...: a column a system, the numbers separated by slashes.
engine_table_of()
{
	local title=$1 phases=$2
	shift 2
	# shellcheck disable=SC2016 # awk's
	engine_each '
		FNR == 1 {
			names = split("'"$*"'", field, " ")
			columns = count
			head = "\n| '"$title"' |"
			for (i = 1; i <= count; i++)
				head = head " " name[i] " |"
		}
		!(($1, $2) in known) || index(" '"$phases"' ", " " $2 " ") == 0 { next }
		of($1, $2, name[1], field[1]) == "" { next }
		{
			if (head != "") {
				print head
				line()
				head = ""
			}
			row = "| " title() " |"
			for (i = 1; i <= count; i++) {
				text = ""
				for (n = 1; n <= names; n++) {
					x = of($1, $2, name[i], field[n])
					if (field[n] == "size")
						x /= 1048576
					text = text (n > 1 ? " / " : "") number(x)
				}
				row = row " " text " |"
			}
			print row
		}'
}

# The claims that are not about a peer, and what the peers do there.
engine_table_of_claims()
{
	# shellcheck disable=SC2016 # awk's
	engine_each '
		function over(a, b) {
			return a == "" || b == "" || b == 0 ? "" : a / b
		}
		function claim(text, goal, row, phase, field, below, below_row, below_phase,    i, x, out, any) {
			out = "| " text " | " goal " |"
			for (i = 1; i <= count; i++) {
				x = of(row, phase, name[i], field)
				if (below != "")
					x = over(x, of(below_row, below_phase, name[i], below))
				any = any || x != ""
				out = out " " number(x) (x != "" && x > goal && name[i] ~ /^hexkv/ ? " missed" : "") " |"
			}
			if (!any)
				return
			if (head != "") {
				print head
				line()
				head = ""
			}
			print out
		}
		END {
			columns = count + 1
			head = "\n| what is to hold | at most |"
			for (i = 1; i <= count; i++)
				head = head " " name[i] " |"
			n = split("small kib large", row, " ")
			split("100 B,1 KiB,64 KiB", size, ",")
			for (i_ = 1; i_ <= n; i_++) {
				claim(size[i_] ", overwrite: p99.9 of a put over its median", 20, row[i_],
					"overwrite", "p999_us", "p50_us", row[i_], "overwrite")
				claim(size[i_] ", overwrite: sorted runs (of peers: files of level 0)", 24,
					row[i_], "overwrite", "runs")
			}
			claim("a page behind a million deletions, p99, over a page before", 10, "deleted",
				"list-deleted", "p99_us", "p99_us", "deleted", "list")
			claim("a read from ten times the records, over one from fewer", 1.5, "growth-1",
				"read", "per_second", "per_second", "growth-10", "read")
			claim("a read of a missing one likewise", 1.5, "growth-1", "missing", "per_second",
				"per_second", "growth-10", "missing")
			claim("100 B: opening, in ms", 1000, "growth-10", "reopen", "open_ms")
			claim("the same, nothing in memory", 1000, "growth-10", "reopen-cold", "open_ms")
			claim("10 GiB of 1 KiB: opening, in ms", 1000, "open", "reopen", "open_ms")
			claim("the same, nothing in memory", 1000, "open", "reopen-cold", "open_ms")
		}'
}

engine_table_print()
{
	touch "$TMP/figures"
	printf '\n%d cores, Linux %s, %s; load before: %s; LevelDB %s, RocksDB %s of Debian\n' \
		"$(nproc)" "$(uname -r)" "$(date -u +%F)" "$LOAD_BEFORE" \
		"$(engine_version libleveldb-dev)" "$(engine_version librocksdb-dev)"
	printf 'medians of %d rounds; %d records of 100 B, %d of 1 KiB, %d of 64 KiB; %s\n\n' "$ROUNDS" \
		"$RECORDS" $((RECORDS / 4)) $((RECORDS / 100)) \
		"$SECONDS_EACH s a phase at most, 5 s of overwriting, filled to the end"
	engine_table_of_speed 1
	printf '\nThe same with the peers:\n\n'
	engine_table_of_speed 0
	engine_table_of 'p50 / p99 / p99.9 in us (of a list: of a page)' \
		'fill overwrite read missing mixed-read mixed-write list delete sync-1 sync-8 list-deleted' \
		p50_us p99_us p999_us
	engine_table_of 'the longest write in ms' 'fill overwrite mixed-write delete sync-1 sync-8' max_ms
	engine_table_of 'bytes written for one of the user / MiB on disk after it' \
		'fill overwrite delete sync-1 sync-8 load' written size
	engine_table_of 'memory a key in bytes, cache included' read rss_a_key
	engine_table_of_claims
}

engine_version()
{
	dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo '?'
}
