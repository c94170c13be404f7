# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The storage engine beside its peers: each row is one run of bench-engine for each of them, in a new
# directory, in turns. A system NAME-64 is NAME with a memtable or write buffer of 64 MiB.

ENGINE_ROWS=(small kib large synced growth open deleted)
# Minutes each: only if they are asked for.
ENGINE_LONG_ROWS=(growth open)

ENGINE_ALL=fill,overwrite,read,missing,mixed,list,delete

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
	}' "$TMP/phases" >>"$TMP/figures"
}

# row_once ROW SYSTEM ROUND
row_once()
{
	local operations=$((RECORDS > 1000000 ? 1000000 : RECORDS))
	case $1 in
	small)
		engine "$@" --records "$RECORDS" --operations "$operations" --value-bytes 100 \
			--phases "$ENGINE_ALL,list-deleted"
		;;
	kib)
		engine "$@" --records $((RECORDS / 4)) --value-bytes 1024 --phases "$ENGINE_ALL,list-deleted"
		;;
	large)
		engine "$@" --records $((RECORDS / 100)) --value-bytes 65536 --phases "$ENGINE_ALL"
		;;
	synced)
		local size name
		for size in 100 1024 65536; do
			name=synced-$size
			engine "$name" "$2" "$3" --records 8 --operations $((RECORDS / 10)) --seconds 2 \
				--value-bytes "$size" --phases sync-1,sync-8
		done
		;;
	growth)
		engine growth-1 "$2" "$3" --records "$RECORDS" --operations "$operations" \
			--cache-bytes 16M --value-bytes 100 --phases fill,read,missing
		engine growth-10 "$2" "$3" --records $((RECORDS * 10)) --operations "$operations" \
			--cache-bytes 16M --value-bytes 100 --phases fill,read,missing,reopen
		;;
	open)
		engine "$@" --records $((RECORDS * 10)) --value-bytes 1024 --phases fill,reopen,read \
			--operations "$operations"
		;;
	deleted)
		# Others have not heard of them yet, so hexkv has to keep them.
		engine "$@" --records "$RECORDS" --value-bytes 100 --keep-deletions \
			--phases fill,list,delete,list-deleted
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
