/* SPDX-License-Identifier: MIT */
#include "lib/container_of.h"
#include "node/rbtree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NUMBERS 500

struct number {
	struct rbnode node;
	unsigned value;
};

static struct number pool[NUMBERS];
static uint64_t state_of_random = 88172645463325252u;

static unsigned below(unsigned bound)
{
	state_of_random ^= state_of_random << 13;
	state_of_random ^= state_of_random >> 7;
	state_of_random ^= state_of_random << 17;
	return (unsigned)(state_of_random % bound);
}

static struct number *number_of(struct rbnode *node)
{
	return container_of(node, struct number, node);
}

static void insert(struct rbtree *tree, struct number *number)
{
	struct rbnode **link = &tree->root, *parent = NULL;
	enum rbtree_side side = RBTREE_LEFT;

	while (*link) {
		parent = *link;
		side = number->value < number_of(parent)->value ? RBTREE_LEFT : RBTREE_RIGHT;
		link = &parent->child[side];
	}
	rbtree_insert(tree, parent, side, &number->node);
}

/* The tree holds exactly the numbers marked in @present, in order. */
static void agree(const struct rbtree *tree, const bool present[NUMBERS])
{
	struct rbnode *node = rbtree_first(tree);

	assert_true(rbtree_check(tree) >= 0);
	for (unsigned i = 0; i < NUMBERS; i++) {
		if (!present[i])
			continue;
		assert_non_null(node);
		assert_int_equal(number_of(node)->value, i);
		node = rbtree_next(node);
	}
	assert_null(node);
}

static void random_changes_agree_with_a_sorted_array(void **state)
{
	struct rbtree tree = { 0 };
	bool present[NUMBERS] = { false };

	(void)state;
	for (int step = 0; step < 20000; step++) {
		/* Phases of growing and of shrinking. */
		bool grow = below(10) < (step / 2000 % 2 ? 2 : 8);
		unsigned i = below(NUMBERS);

		if (grow && !present[i]) {
			pool[i].value = i;
			insert(&tree, &pool[i]);
			present[i] = true;
		} else if (!grow && present[i]) {
			rbtree_erase(&tree, &pool[i].node);
			memset(&pool[i].node, 0xa5, sizeof(pool[i].node));
			present[i] = false;
		}
		if (step % 17 == 0)
			agree(&tree, present);
	}
}

static void a_replaced_node_is_gone_and_its_place_is_kept(void **state)
{
	struct number others[NUMBERS];
	struct rbtree tree = { 0 };
	bool present[NUMBERS];

	(void)state;
	for (unsigned i = 0; i < NUMBERS; i++) {
		pool[i].value = others[i].value = i;
		present[i] = true;
		insert(&tree, &pool[i]);
	}
	for (unsigned i = 0; i < NUMBERS; i++) {
		rbtree_replace(&tree, &pool[i].node, &others[i].node);
		memset(&pool[i].node, 0xa5, sizeof(pool[i].node));
	}
	agree(&tree, present);
}

static struct rbnode *next_of_pool(void *state)
{
	unsigned *at = state;

	pool[*at].value = *at;
	return &pool[(*at)++].node;
}

static void a_tree_built_from_sorted_input_keeps_the_invariants(void **state)
{
	(void)state;
	for (unsigned count = 0; count <= NUMBERS; count++) {
		struct rbtree tree = { 0 };
		bool present[NUMBERS] = { false };
		unsigned at = 0;

		rbtree_build(&tree, count, next_of_pool, &at);
		for (unsigned i = 0; i < count; i++)
			present[i] = true;
		agree(&tree, present);
		if (count > 2) {
			rbtree_erase(&tree, &pool[count / 2].node);
			present[count / 2] = false;
			agree(&tree, present);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes_agree_with_a_sorted_array),
		cmocka_unit_test(a_replaced_node_is_gone_and_its_place_is_kept),
		cmocka_unit_test(a_tree_built_from_sorted_input_keeps_the_invariants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
