# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The storage engine beside its peers: each row is one run of bench-engine for each of them, in a new
# directory, in turns. A system NAME-64 is NAME with a memtable or write buffer of 64 MiB.

ENGINE_ROWS=(small kib large synced deleted growth open)
# Minutes each: only if they are asked for.
ENGINE_LONG_ROWS=(growth open)

# A sustained overwrite is the longest of them: it shows what compaction costs.
ENGINE_ALL=fill,overwrite:5,read,missing,mixed,list,delete

# engine ROW SYSTEM ROUND ARGUMENTS...: notes what each phase says, as
# 'ROW PHASE SYSTEM ROUND NAME NUMBER'.
engine()
{
	local row=$1 system=$2 round=$3 directory=$TMP/engine
	shift 3
	[[ $system != *-64 ]] || set -- --buffer-bytes 64M "$@"
	mkdir "$directory"
	"$ROOT/build-bench/tests/bench/bench-engine" --engine "${system%-64}" --dir "$directory" "$@" \
		2>"$TMP/log-engine" >"$TMP/phases" ||
		{ tail -n 20 "$TMP/log-engine" >&2; fail "$system: $row"; }
	rm -rf "$directory"
	awk -v row="$row" -v system_="$system" -v round="$round" '{
		for (i = 2; i <= NF; i++) {
			split($i, part, "=")
			print row, $1, system_, round, part[1], part[2]
			seen[part[1]] = part[2]
		}
		print row, $1, system_, round, "per_second", seen["ops"] / seen["seconds"]
		print row, $1, system_, round, "max_ms", seen["max_us"] / 1000
		delete seen
	}' "$TMP/phases" >>"$TMP/figures"
}

# row_once ROW SYSTEM ROUND
row_once()
{
	local size
	case $1 in
	small)
		engine "$@" --records "$RECORDS" --value-bytes 100 --seconds "$SECONDS_EACH" \
			--phases "$ENGINE_ALL"
		;;
	kib)
		engine "$@" --records $((RECORDS / 4)) --value-bytes 1024 --seconds "$SECONDS_EACH" \
			--phases "$ENGINE_ALL"
		;;
	large)
		engine "$@" --records $((RECORDS / 100)) --value-bytes 65536 --seconds "$SECONDS_EACH" \
			--phases "$ENGINE_ALL"
		;;
	synced)
		for size in 100 1024 65536; do
			engine "synced-$size" "$2" "$3" --records 8 --value-bytes "$size" \
				--phases "sync-1:$SECONDS_EACH,sync-8:$SECONDS_EACH"
		done
		;;
	deleted)
		# Others have not heard of them yet, so hexkv has to keep them.
		engine "$@" --records "$RECORDS" --value-bytes 100 --keep-deletions \
			--phases load,list,delete,list-deleted
		;;
	growth)
		engine growth-1 "$2" "$3" --records "$RECORDS" --cache-bytes 16M --value-bytes 100 \
			--phases load,read:5,missing:5
		engine growth-10 "$2" "$3" --records $((RECORDS * 10)) --cache-bytes 16M \
			--value-bytes 100 --phases load,read:5,missing:5,reopen,reopen-cold
		;;
	open)
		engine "$@" --records $((RECORDS * 10)) --value-bytes 1024 \
			--phases load,read:5,reopen,reopen-cold
		;;
	esac
}

engine_row_wanted()
{
	row_wanted "$1" || return 1
	[[ -n $FILTER || " ${ENGINE_LONG_ROWS[*]} " != *" $1 "* ]]
}

engine_run()
{
	local round row i count=${#SYSTEMS[@]}
	# shellcheck disable=SC2034 # for the table
	LOAD_BEFORE=$(cut -d ' ' -f 1 /proc/loadavg)
	for ((round = 1; round <= ROUNDS; round++)); do
		for row in "${ENGINE_ROWS[@]}"; do
			engine_row_wanted "$row" || continue
			say "round $round of $ROUNDS: $row"
			# Each round begins with another one.
			for ((i = 0; i < count; i++)); do
				row_once "$row" "${SYSTEMS[(i + round - 1) % count]}" "$round"
			done
		done
	done
}
