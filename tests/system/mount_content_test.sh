#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Files that are changed, read, listed and removed at the same time.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

a_large_file_reads_whole_while_it_is_appended_to()
{
	random_file "$TMP/file" 2500000
	http -X PUT --data-binary "@$TMP/file" "$ROUTER/kv/00aa"
	# A shell's redirection would flush: the writer keeps its file open, and reads.
	python3 - "$MNT/00aa" "$TMP/file" <<-'END' || fail 'the file does not read as it was written'
		import os, sys
		more = os.urandom(200000)
		writer = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
		os.write(writer, more)
		with open(sys.argv[1], 'rb') as file:
		    got = file.read()
		os.close(writer)
		with open(sys.argv[2], 'ab') as file:
		    file.write(more)
		sys.exit(got != open(sys.argv[2], 'rb').read())
	END
	expect_same_file "$TMP/file" "$MNT/00aa"
	rm "$MNT/00aa"
}

# The kernel and the C library ask for parts that end anywhere: widths vary where.
removing_what_a_listing_shows_leaves_nothing()
{
	local width
	for width in 4 10 30 60; do
		seq -f "%0$width.0f" 1000 3500 | (cd "$MNT" && xargs touch)
		python3 - "$MNT" <<-'END'
			import os, sys
			with os.scandir(sys.argv[1]) as names:
			    for name in names:
			        os.unlink(name.path)
		END
		expect_equal 0 "$(find "$MNT" -type f | wc -l)" "names of $width characters left"
	done
}

a_place_in_the_directory_is_found_again_when_names_have_gone()
{
	need_command perl
	seq -f '%020.0f' 1001 3500 | (cd "$MNT" && xargs touch)
	perl - "$MNT" <<-'END' || fail 'names were missed or came twice'
		use strict;
		chdir $ARGV[0] or die;
		opendir(my $dir, '.') or die;
		my (@before, @after);
		while (@before < 1502) { push @before, scalar readdir $dir; }
		my $place = telldir $dir;
		while (my $name = readdir $dir) { push @after, $name; }
		unlink @before[200 .. 1501];
		unlink splice @after, 100, 50;
		for my $turn (1 .. 2) {
		    seekdir $dir, $place;
		    my @again;
		    while (my $name = readdir $dir) { push @again, $name; }
		    "@again" eq "@after" or die "turn $turn: " . @again . ' of ' . @after . "\n";
		}
		rewinddir $dir;
		my %seen;
		while (my $name = readdir $dir) { $seen{$name}++; }
		my $expected = 200 + @after;
		keys %seen == $expected && !grep { $_ != 1 } values %seen or die keys(%seen) . " of $expected\n";
		exit 0;
	END
	find "$MNT" -type f -delete
}

an_open_succeeds_under_a_stream_of_changes()
{
	local writer status=0 many
	put 00ac aaaa
	mapfile -t many < <(yes "$ROUTER/kv/00ac" | head -200)
	(
		while [[ ! -e $TMP/stop ]]; do
			curl -sS -X PUT --data-binary aaaa "${many[@]}" >/dev/null
		done
	) &
	writer=$!
	python3 - "$MNT/00ac" <<-'END' || status=$?
		import os, sys
		for _ in range(3000):
		    file = os.open(sys.argv[1], os.O_RDONLY)
		    assert os.read(file, 100) == b'aaaa'
		    os.close(file)
	END
	touch "$TMP/stop"
	wait "$writer"
	expect_equal 0 "$status"
	rm "$MNT/00ac"
}

# How the mount came to know the record makes no difference.
a_changed_file_keeps_the_labels_it_was_opened_with()
{
	local learn
	for learn in "ls -l $MNT" "ls -f $MNT" "stat $MNT/00ad" "getfattr -d $MNT/00ad" true; do
		put 00ad text -H 'Content-Type: text/opened' -H 'HexKV-Encoding: utf-8'
		$learn >/dev/null
		python3 - "$MNT/00ad" "$ROUTER/kv/00ad" <<-'END'
			import os, sys, urllib.request
			file = os.open(sys.argv[1], os.O_RDWR)
			patch = urllib.request.Request(sys.argv[2], b'{"content_type":"text/meanwhile"}',
			                               method='PATCH')
			urllib.request.urlopen(patch).close()
			os.write(file, b'more')
			os.close(file)
		END
		http -I "$ROUTER/kv/00ad"
		expect_equal text/opened "$(header content-type)" "after '$learn'"
		# What a file is renamed over keeps those that it has then.
		put 00ad text -H 'Content-Type: text/now'
		echo new >"$MNT/00ad~"
		mv "$MNT/00ad~" "$MNT/00ad"
		http -I "$ROUTER/kv/00ad"
		expect_equal text/now "$(header content-type)" "renamed after '$learn'"
	done
	rm "$MNT/00ad"
}

times_that_can_not_be_stored_are_the_nearest_that_can()
{
	echo x >"$MNT/00ab"
	touch -d '2500-01-01 UTC' "$MNT/00ab"
	expect_equal 9223372036 "$(stat -c %Y "$MNT/00ab")"
	touch -d '1600-01-01 UTC' "$MNT/00ab"
	expect_equal -9223372037 "$(stat -c %Y "$MNT/00ab")"
	touch -d '1960-01-01 UTC' "$MNT/00ab"
	expect_equal -315619200 "$(stat -c %Y "$MNT/00ab")"
	rm "$MNT/00ab"
}

cluster_start
mount_start
run_cases a_large_file_reads_whole_while_it_is_appended_to \
	removing_what_a_listing_shows_leaves_nothing \
	a_place_in_the_directory_is_found_again_when_names_have_gone \
	an_open_succeeds_under_a_stream_of_changes \
	a_changed_file_keeps_the_labels_it_was_opened_with \
	times_that_can_not_be_stored_are_the_nearest_that_can
mount_stop
