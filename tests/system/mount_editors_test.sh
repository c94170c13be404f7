#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Programs that replace a record: by a temporary file and a rename, by moving it aside and making it
# anew, or in place. Its labels stay with it, whichever it is.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

# has_program NAME: whether the case can go on; a program that is not there is no failure.
has_program()
{
	command -v "$1" >/dev/null && return
	printf '  not tested, for want of %s\n' "$1"
	return 1
}

# begin: the record 0c01 with labels of its own, alone in the directory.
begin()
{
	put 0c01 $'one\ntwo\n' -H 'Content-Type: text/plain' -H 'HexKV-Encoding: utf-8'
	expect_equal $'one\ntwo' "$(cat "$MNT/0c01")"
}

# replaced_by VALUE [NAMES]: the record has that value and its own labels; the directory these names.
replaced_by()
{
	expect_equal "$1" "$(cat "$MNT/0c01")"
	expect_equal "$1" "$(value_of 0c01)"
	expect_http 200 -I "$ROUTER/kv/0c01"
	expect_equal text/plain "$(header Content-Type)"
	expect_equal utf-8 "$(header HexKV-Encoding)"
	expect_equal text/plain \
		"$(getfattr --absolute-names --only-values -n user.content_type "$MNT/0c01")"
	expect_equal "${2:-0c01}" "$(find "$MNT" -type f -printf "%f\n" | LC_ALL=C sort | xargs)"
}

end_with_backup()
{
	expect_equal $'one\ntwo' "$(cat "$MNT/0c01~")"
	rm "$MNT/0c01~"
	replaced_by "$1"
}

sed_replaces()
{
	begin
	sed -i s/one/three/ "$MNT/0c01"
	replaced_by $'three\ntwo'
	begin
	sed -i~ s/one/three/ "$MNT/0c01"
	replaced_by $'three\ntwo' '0c01 0c01~'
	end_with_backup $'three\ntwo'
	# A backup that is no temporary name would look stored and not be.
	begin
	fails_with '0c01: Operation not permitted' sed -i.bak s/one/three/ "$MNT/0c01"
	replaced_by $'one\ntwo'
}

perl_replaces()
{
	has_program perl || return 0
	begin
	perl -i -pe s/one/three/ "$MNT/0c01"
	replaced_by $'three\ntwo'
	begin
	perl -i~ -pe s/one/three/ "$MNT/0c01"
	end_with_backup $'three\ntwo'
	begin
	OUTPUT=$(perl -i.bak -pe s/one/three/ "$MNT/0c01" 2>&1) || true
	expect_contains "$OUTPUT" "0c01.bak: Operation not permitted"
	replaced_by $'one\ntwo'
}

VIM=$(command -v vim || command -v vim.tiny || true)

# vim_edits SETTING...
vim_edits()
{
	"$VIM" -es -u NONE -i NONE -c 'set backupskip= backupdir=. directory=.' -c "set $*" \
		-c '1s/one/three/' -c wq "$MNT/0c01" </dev/null || fail "vim with '$*' ended with $?"
}

vim_replaces()
{
	local swap
	has_program "${VIM:-vim}" || return 0
	for swap in swapfile noswapfile; do
		begin
		vim_edits "$swap" backup writebackup backupcopy=no
		end_with_backup $'three\ntwo'
		begin
		vim_edits "$swap" backup writebackup backupcopy=yes
		end_with_backup $'three\ntwo'
		begin
		vim_edits "$swap" nobackup writebackup
		replaced_by $'three\ntwo'
		begin
		vim_edits "$swap" nobackup nowritebackup
		replaced_by $'three\ntwo'
	done
	"$VIM" --version | grep -q '+persistent_undo' || return 0
	begin
	vim_edits nobackup undofile undodir=.
	replaced_by $'three\ntwo' '.0c01.un~ 0c01'
	rm "$MNT/.0c01.un~"
}

ed_writes_in_place()
{
	has_program ed || return 0
	begin
	printf '1s/one/three/\nw\nq\n' | ed -s "$MNT/0c01"
	replaced_by $'three\ntwo'
}

rsync_replaces()
{
	has_program rsync || return 0
	mkdir -p "$TMP/source"
	begin
	printf three >"$TMP/source/0c01"
	touch -d '2001-02-03 UTC' "$TMP/source/0c01" "$TMP/source"
	rsync -a "$TMP/source/" "$MNT/"
	replaced_by three
	expect_equal 981158400 "$(stat -c %Y "$MNT/0c01")"
	expect_equal '' "$(rsync -ai "$TMP/source/" "$MNT/")"
	expect_equal '' "$(rsync -ai --checksum "$TMP/source/" "$MNT/")"
	begin
	rsync -a --backup "$TMP/source/" "$MNT/"
	end_with_backup three
	random_file "$TMP/source/0c02" 300000
	rsync -a "$TMP/source/" "$MNT/"
	printf changed | dd of="$TMP/source/0c02" bs=1 seek=150000 conv=notrunc status=none
	rsync -a --inplace --no-whole-file --checksum "$TMP/source/" "$MNT/"
	expect_same_file "$TMP/source/0c02" "$MNT/0c02"
	random_file "$TMP/more" 1000
	cat "$TMP/more" >>"$TMP/source/0c02"
	rsync -a --append "$TMP/source/" "$MNT/"
	expect_same_file "$TMP/source/0c02" "$MNT/0c02"
	rm "$TMP/source/0c02"
	rsync -a --delete "$TMP/source/" "$MNT/"
	replaced_by three
}

rsync_carries_labels()
{
	has_program rsync || return 0
	begin
	mkdir -p "$TMP/labelled"
	cp --preserve=xattr "$MNT/0c01" "$TMP/labelled/0c03" || fail 'labels were not copied out'
	setfattr -n user.content_type -v text/html "$TMP/labelled/0c03" || return 0
	rsync -aX "$TMP/labelled/" "$MNT/"
	expect_http 200 -I "$ROUTER/kv/0c03"
	expect_equal text/html "$(header Content-Type)"
	expect_equal utf-8 "$(header HexKV-Encoding)"
	expect_equal '' "$(rsync -aXi "$TMP/labelled/" "$MNT/")"
	rm "$MNT/0c03"
}

coreutils_replace()
{
	begin
	sort -r -o "$MNT/0c01" "$MNT/0c01"
	replaced_by $'two\none'
	begin
	printf three >"$TMP/new"
	cp "$TMP/new" "$MNT/0c01"
	replaced_by three
	begin
	cp -b "$TMP/new" "$MNT/0c01"
	end_with_backup three
	begin
	install -m 640 "$TMP/new" "$MNT/0c01"
	# install removes what is there: it is another file.
	expect_equal three "$(value_of 0c01)"
	expect_equal 640 "$(stat -c %a "$MNT/0c01")"
	begin
	install -b "$TMP/new" "$MNT/0c01"
	end_with_backup three
	begin
	mv "$TMP/new" "$MNT/0c01"
	expect_equal three "$(value_of 0c01)"
	begin
	OUTPUT=$(mktemp -p "$MNT")
	echo three >"$OUTPUT"
	mv "$OUTPUT" "$MNT/0c01"
	replaced_by three
}

python_replaces()
{
	begin
	python3 - "$MNT" <<-'END'
		import os, sys, tempfile
		name = sys.argv[1] + '/0c01'
		with tempfile.NamedTemporaryFile('w', dir=sys.argv[1], delete=False) as new:
		    new.write('three')
		os.replace(new.name, name)
		assert open(name).read() == 'three'
		with tempfile.TemporaryFile(dir=sys.argv[1]) as unnamed:
		    unnamed.write(b'x' * 100000)
		    unnamed.seek(99999)
		    assert unnamed.read() == b'x'
		with tempfile.NamedTemporaryFile(dir=sys.argv[1]) as gone:
		    gone.write(b'y')
	END
	replaced_by three
}

# What a desktop's editor does.
glib_replaces()
{
	begin
	echo three >"$MNT/.goutputstream-AB12CD"
	mv "$MNT/.goutputstream-AB12CD" "$MNT/0c01"
	replaced_by three
}

a_temporary_file_with_labels_of_its_own_brings_them()
{
	begin
	echo '<p>' >"$MNT/0c01.tmp"
	setfattr -n user.content_type -v text/html "$MNT/0c01.tmp"
	mv "$MNT/0c01.tmp" "$MNT/0c01"
	expect_http 200 -I "$ROUTER/kv/0c01"
	expect_equal text/html "$(header Content-Type)"
}

cluster_start
mount_start
run_cases sed_replaces perl_replaces vim_replaces ed_writes_in_place rsync_replaces \
	rsync_carries_labels coreutils_replace python_replaces glib_replaces \
	a_temporary_file_with_labels_of_its_own_brings_them
mount_stop
