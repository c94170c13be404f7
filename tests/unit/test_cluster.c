/* SPDX-License-Identifier: MIT */
#include "lib/cluster.h"

#include "lib/buf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NODE(name, port) "{\"name\": \"" name "\", \"url\": \"http://127.0.0.1:" port "\"}"
#define SHARD(name, slots, leader, nodes)                                                          \
	"{\"name\": \"" name "\", \"slots\": " slots ", \"leader\": \"" leader                     \
	"\", \"nodes\": [" nodes "]}"
#define CLUSTER(shards) "{\"cluster\": \"demo\", \"shards\": [" shards "]}"
#define TWO_SHARDS                                                                                 \
	CLUSTER(SHARD("s0", "[[0, 2047]]", "s0b",                                                  \
		      NODE("s0a", "8081") ", " NODE(                                               \
			      "s0b", "8082")) ", " SHARD("s1", "[[2048, 3000], [3001, 4095]]",     \
							 "s1a", NODE("s1a", "8083")))
/* One shard around a part under test. */
#define ONE(slots, leader, nodes) CLUSTER(SHARD("s0", slots, leader, nodes))
#define ALL                       "[[0, 4095]]"

static void a_good_file_is_loaded(void **state)
{
	struct cluster *cluster;
	char *why = NULL;

	(void)state;
	assert_int_equal(cluster_parse(TWO_SHARDS, strlen(TWO_SHARDS), &cluster, &why), 0);
	assert_null(why);
	assert_string_equal(cluster->name, "demo");
	assert_int_equal(cluster->shard_count, 2);
	assert_int_equal(cluster->shards[0].leader, 1);
	assert_int_equal(cluster->shards[0].slot_count, 2048);
	assert_int_equal(cluster->shards[1].slot_count, 2048);
	assert_int_equal(cluster->slot_to_shard[0], 0);
	assert_int_equal(cluster->slot_to_shard[2047], 0);
	assert_int_equal(cluster->slot_to_shard[2048], 1);
	assert_int_equal(cluster->slot_to_shard[4095], 1);
	assert_int_equal(cluster->shards[0].nodes[0].index, 1);
	assert_int_equal(cluster->shards[0].nodes[1].index, 2);
	assert_int_equal(cluster->shards[1].nodes[0].index, 3);
	assert_int_equal(cluster->shards[1].nodes[0].shard, 1);
	assert_int_equal(cluster->ack, ACK_LEADER);
	assert_string_equal(cluster->shards[1].nodes[0].url, "http://127.0.0.1:8083");
	assert_ptr_equal(cluster_find_node(cluster, "s1a"), &cluster->shards[1].nodes[0]);
	assert_null(cluster_find_node(cluster, "s1b"));
	assert_int_equal(cluster_shard_of(cluster, "k", 1), hash_slot("k", 1) >= 2048);
	assert_null(cluster_free(cluster));
	assert_null(cluster_free(NULL));
}

static void other_good_files_are_loaded(void **state)
{
	static const char *const good[] = {
		ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://[::1]:80\"}"),
		ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://db-1.example:65535\"}"),
		ONE("[[4095, 4095], [0, 4094]]", "a", NODE("a", "1")),
		CLUSTER(SHARD("s0", ALL, "a", NODE("a", "1")) "," SHARD("s1", "[]", "b",
									NODE("b", "2"))),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct cluster *cluster;
		char *why = NULL;

		if (cluster_parse(good[i], strlen(good[i]), &cluster, &why) != 0)
			fail_msg("%s", why);
		cluster_free(cluster);
	}
}

static void every_inconsistency_has_its_sentence(void **state)
{
	static const struct {
		const char *text, *words;
	} table[] = {
		{ "", "not JSON: line 1" },
		{ "{", "not JSON: line 1" },
		{ TWO_SHARDS "x", "not JSON" },
		{ "[]", "must be a JSON object" },
		{ "{}", "no member \"cluster\"" },
		{ "{\"cluster\": \"demo\"}", "no member \"shards\"" },
		{ "{\"cluster\": \"demo\", \"cluster\": \"b\", \"shards\": []}", "stands twice" },
		{ "{\"cluster\": \"demo\", \"shards\": [], \"x\": 1}", "unknown member \"x\"" },
		{ "{\"cluster\": 1, \"shards\": []}", "the \"cluster\" of the cluster file" },
		{ "{\"cluster\": \"\", \"shards\": []}", "1 to 63" },
		{ "{\"cluster\": \"a b\", \"shards\": []}", "1 to 63" },
		{ "{\"cluster\": \"demo\", \"shards\": []}", "1 to 4096 shards" },
		{ "{\"cluster\": \"demo\", \"shards\": {}}", "1 to 4096 shards" },
		{ CLUSTER("1"), "shard number 1 must be a JSON object" },
		{ CLUSTER("{\"name\": \"s0\"}"), "shard number 1 has no member \"slots\"" },
		{ CLUSTER(SHARD("s0/1", ALL, "a", NODE("a", "1"))), "\"name\" of shard number 1" },
		{ CLUSTER("{\"name\": \"s0\", \"slots\": [], \"leader\": \"a\", \"nodes\": [], "
			  "\"colour\": 1}"),
		  "unknown member \"colour\"" },
		{ CLUSTER(SHARD("s0", "[[0, 1]]", "a", NODE("a", "1")) "," SHARD(
			  "s0", "[[2, 4095]]", "b", NODE("b", "2"))),
		  "shard s0 is named twice" },
		{ CLUSTER(SHARD("s0", ALL, "a", NODE("a", "1")) "," SHARD("s1", "[[7, 7]]", "b",
									  NODE("b", "2"))),
		  "slot 7 is given to shard s0 and to shard s1" },
		{ ONE("[[0, 5], [5, 4095]]", "a", NODE("a", "1")), "slot 5 is given to shard s0" },
		{ ONE("[[0, 5], [7, 4095]]", "a", NODE("a", "1")), "slot 6 has no owner" },
		{ ONE("[]", "a", NODE("a", "1")), "slot 0 has no owner" },
		{ ONE("[[0, 4096]]", "a", NODE("a", "1")), "within 0 to 4095" },
		{ ONE("[[-1, 4095]]", "a", NODE("a", "1")), "within 0 to 4095" },
		{ ONE("[[5, 4]]", "a", NODE("a", "1")), "run upwards" },
		{ ONE("[[0, 9223372036854775807]]", "a", NODE("a", "1")), "within 0 to 4095" },
		{ ONE("[0, 4095]", "a", NODE("a", "1")), "pairs [first, last]" },
		{ ONE("[[0, 1, 2]]", "a", NODE("a", "1")), "pairs [first, last]" },
		{ ONE("[[0.0, 4095]]", "a", NODE("a", "1")), "pairs [first, last]" },
		{ ONE("\"all\"", "a", NODE("a", "1")), "pairs [first, last]" },
		{ ONE(ALL, "a", ""), "at least one node" },
		{ ONE(ALL, "a", "\"a\""), "a node of shard s0 must be a JSON object" },
		{ ONE(ALL, "b", NODE("a", "1")), "leader b of shard s0 is not one of its nodes" },
		{ CLUSTER(SHARD("s0", "[[0, 1]]", "b", NODE("a", "1")) "," SHARD(
			  "s1", "[[2, 4095]]", "b", NODE("b", "2"))),
		  "leader b of shard s0 is not one of its nodes" },
		{ CLUSTER("{\"name\": \"s0\", \"slots\": [], \"leader\": 1, \"nodes\": [" NODE(
			  "a", "1") "]}"),
		  "leader of shard s0 must be the name" },
		{ ONE(ALL, "a", NODE("a", "1") "," NODE("a", "2")), "node a is named twice" },
		{ CLUSTER(SHARD("s0", "[[0, 1]]", "a", NODE("a", "1")) "," SHARD(
			  "s1", "[[2, 4095]]", "a", NODE("a", "2"))),
		  "node a is named twice" },
		{ ONE(ALL, "s15b", NODE("s15b", "1") "," NODE("s126c", "2")),
		  "node s15b and node s126c have the same hash; rename one of them" },
		{ "{\"ack\": \"two\", \"cluster\": \"demo\", \"shards\": []}",
		  "\"ack\" must be \"leader\", \"quorum\" or \"all\"" },
		{ "{\"ack\": 1, \"cluster\": \"demo\", \"shards\": []}", "\"ack\" must be" },
		{ ONE(ALL, "a", NODE("a", "1") "," NODE("b", "1")), "at node b and at another" },
		{ ONE(ALL, "a",
		      "{\"name\": \"a\", \"url\": \"http://Host:1\"},{\"name\": \"b\", \"url\": "
		      "\"http://hOST:1\"}"),
		  "at node b and at another" },
		{ ONE(ALL, "a", "{\"name\": \"a\"}"), "no member \"url\"" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://h:1\", \"role\": 1}"),
		  "unknown member \"role\"" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": 1}"),
		  "url of node a must be a string" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://h:1/\"}"), "has a path" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://h:1/kv\"}"), "has a path" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://h:1?x\"}"), "has a path" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"https://h:1\"}"), "is https" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"h:1\"}"), "form http://host:port" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://h\"}"),
		  "needs a host and a port" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://h:0\"}"),
		  "needs a host and a port" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://h:65536\"}"),
		  "needs a host and a port" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://h:080\"}"),
		  "needs a host and a port" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://:1\"}"),
		  "needs a host and a port" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://a b:1\"}"),
		  "needs a host and a port" },
		{ ONE(ALL, "a", "{\"name\": \"a\", \"url\": \"http://u@h:1\"}"), "names a user" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct cluster *cluster = NULL;
		char *why = NULL;

		assert_int_equal(
			cluster_parse(table[i].text, strlen(table[i].text), &cluster, &why),
			-EINVAL);
		assert_null(cluster);
		assert_non_null(why);
		if (!strstr(why, table[i].words))
			fail_msg("row %zu says '%s'", i, why);
		assert_null(strchr(why, '\n'));
		free(why);
	}
}

static void more_nodes_than_an_epoch_can_name_are_refused(void **state)
{
	struct buf text = { 0 };
	struct cluster *cluster;
	char *why = NULL;

	(void)state;
	buf_printf(&text, "{\"cluster\": \"big\", \"shards\": [{\"name\": \"s\", \"slots\": [[0, "
			  "4095]], \"leader\": \"n0\", \"nodes\": [");
	for (int i = 0; i < 65536; i++)
		buf_printf(&text, "%s{\"name\": \"n%d\", \"url\": \"http://h%d:1\"}", i ? "," : "",
			   i, i);
	buf_printf(&text, "]}]}");
	assert_int_equal(cluster_parse((char *)text.data, text.len, &cluster, &why), -EINVAL);
	assert_non_null(strstr(why, "more than 65535 nodes"));
	free(why);
	buf_deinit(&text);
}

/* Epochs on disk name nodes: an id that changed would name another. */
static void the_id_of_a_node_is_its_names_for_ever(void **state)
{
	struct cluster *cluster;
	char *why = NULL;

	(void)state;
	assert_int_equal(cluster_node_id("s0a"), 49308);
	assert_int_equal(cluster_node_id("n1"), 59883);
	assert_int_equal(cluster_parse(TWO_SHARDS, strlen(TWO_SHARDS), &cluster, &why), 0);
	assert_int_equal(cluster->shards[0].nodes[0].id, 49308);
	assert_int_equal(cluster->shards[0].nodes[1].id, 11543);
	assert_int_equal(cluster->shards[1].nodes[0].id, 9182);
	assert_ptr_equal(cluster_shard_node(&cluster->shards[0], 11543),
			 &cluster->shards[0].nodes[1]);
	assert_null(cluster_shard_node(&cluster->shards[0], 9182));
	cluster_free(cluster);
}

static void a_cluster_says_how_many_copies_writes_wait_for(void **state)
{
	static const char *const words[ACK_COUNT] = { "leader", "quorum", "all" };

	(void)state;
	for (int ack = 0; ack < ACK_COUNT; ack++) {
		struct cluster *cluster;
		struct buf text = { 0 };
		char *why = NULL;
		json_t *json;

		buf_printf(&text, "{\"ack\": \"%s\", %s", words[ack],
			   &ONE(ALL, "a", NODE("a", "1"))[1]);
		assert_int_equal(cluster_parse((char *)text.data, text.len, &cluster, &why), 0);
		assert_int_equal(cluster->ack, ack);
		json = cluster_to_json(cluster);
		assert_string_equal(json_string_value(json_object_get(json, "ack")), words[ack]);
		json_decref(json);
		cluster_free(cluster);
		buf_deinit(&text);
	}
}

static void a_cluster_survives_its_json(void **state)
{
	struct cluster *cluster, *back;
	char *why = NULL, *text, *again;
	json_t *json;

	(void)state;
	assert_int_equal(cluster_parse(TWO_SHARDS, strlen(TWO_SHARDS), &cluster, &why), 0);
	json = cluster_to_json(cluster);
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	assert_non_null(strstr(text, "\"slots\":[[2048,4095]]"));
	assert_int_equal(cluster_parse(text, strlen(text), &back, &why), 0);
	assert_memory_equal(cluster->slot_to_shard, back->slot_to_shard,
			    sizeof(back->slot_to_shard));
	json = cluster_to_json(back);
	again = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	assert_string_equal(text, again);
	free(text);
	free(again);
	cluster_free(cluster);
	cluster_free(back);
}

static void a_file_is_named_in_the_complaint(void **state)
{
	char path[] = "/tmp/hexkv-test-cluster-XXXXXX";
	struct cluster *cluster;
	char *why = NULL;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "{}", 2), 2);
	assert_int_equal(cluster_load(path, &cluster, &why), -EINVAL);
	assert_non_null(strstr(why, path));
	free(why);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, TWO_SHARDS, strlen(TWO_SHARDS), 0), strlen(TWO_SHARDS));
	assert_int_equal(cluster_load(path, &cluster, &why), 0);
	cluster_free(cluster);
	close(fd);
	unlink(path);
	assert_int_equal(cluster_load(path, &cluster, &why), -ENOENT);
	assert_non_null(strstr(why, "can't read the cluster file"));
	free(why);
	assert_int_equal(cluster_load("/", &cluster, &why), -EISDIR);
	free(why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_file_is_loaded),
		cmocka_unit_test(other_good_files_are_loaded),
		cmocka_unit_test(every_inconsistency_has_its_sentence),
		cmocka_unit_test(more_nodes_than_an_epoch_can_name_are_refused),
		cmocka_unit_test(the_id_of_a_node_is_its_names_for_ever),
		cmocka_unit_test(a_cluster_says_how_many_copies_writes_wait_for),
		cmocka_unit_test(a_cluster_survives_its_json),
		cmocka_unit_test(a_file_is_named_in_the_complaint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
