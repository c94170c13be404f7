/* SPDX-License-Identifier: MIT */
/*
 * Insertion and deletion as in Cormen, Leiserson, Rivest, Stein, "Introduction to Algorithms", 3rd
 * edition, chapter 13, with NULL for the sentinel (so deletion carries the parent along) and both
 * mirror images in one body. Building from sorted input: a tree split in halves is full but for its
 * deepest level, so colouring that level red and all others black satisfies every invariant.
 */
#include "node/rbtree.h"

#include <stdbool.h>

#define RED ((uintptr_t)1)

static struct rbnode *parent_of(const struct rbnode *node)
{
	return (struct rbnode *)(node->parent_and_color & ~RED);
}

static bool is_red(const struct rbnode *node)
{
	return node && (node->parent_and_color & RED);
}

static void set_parent(struct rbnode *node, struct rbnode *parent)
{
	node->parent_and_color = (uintptr_t)parent | (node->parent_and_color & RED);
}

static void set_red(struct rbnode *node)
{
	node->parent_and_color |= RED;
}

static void set_black(struct rbnode *node)
{
	node->parent_and_color &= ~RED;
}

static int side_of(const struct rbnode *parent, const struct rbnode *node)
{
	return parent->child[RBTREE_RIGHT] == node;
}

/* See rbtree_child(). */
static void set_link(struct rbnode **link, struct rbnode *node)
{
	__atomic_store_n(link, node, __ATOMIC_RELEASE);
}

/* Makes whatever pointed to @old point to @node. */
static void relink(struct rbtree *tree, struct rbnode *parent, const struct rbnode *old,
		   struct rbnode *node)
{
	if (parent)
		set_link(&parent->child[side_of(parent, old)], node);
	else
		set_link(&tree->root, node);
}

/* Moves @node down to @side; its child on the other side takes its place. */
static void rotate(struct rbtree *tree, struct rbnode *node, int side)
{
	struct rbnode *up = node->child[!side];
	struct rbnode *parent = parent_of(node);

	set_link(&node->child[!side], up->child[side]);
	if (up->child[side])
		set_parent(up->child[side], node);
	set_parent(up, parent);
	relink(tree, parent, node, up);
	set_link(&up->child[side], node);
	set_parent(node, up);
}

static void fix_insert(struct rbtree *tree, struct rbnode *node)
{
	struct rbnode *parent;

	while (is_red(parent = parent_of(node))) {
		struct rbnode *grand = parent_of(parent);
		int side = side_of(grand, parent);
		struct rbnode *uncle = grand->child[!side];

		if (is_red(uncle)) {
			set_black(parent);
			set_black(uncle);
			set_red(grand);
			node = grand;
			continue;
		}
		if (side_of(parent, node) != side) {
			rotate(tree, parent, side);
			parent = node;
		}
		set_black(parent);
		set_red(grand);
		rotate(tree, grand, !side);
		break;
	}
	set_black(tree->root);
}

void rbtree_insert(struct rbtree *tree, struct rbnode *parent, enum rbtree_side side,
		   struct rbnode *node)
{
	node->parent_and_color = (uintptr_t)parent | RED;
	node->child[RBTREE_LEFT] = node->child[RBTREE_RIGHT] = NULL;
	if (parent)
		set_link(&parent->child[side], node);
	else
		set_link(&tree->root, node);
	fix_insert(tree, node);
}

/* @node (which may be NULL) stands below @parent and its paths lack one black node. */
static void fix_erase(struct rbtree *tree, struct rbnode *parent, struct rbnode *node)
{
	while (parent && !is_red(node)) {
		int side = side_of(parent, node);
		struct rbnode *sibling = parent->child[!side];

		if (is_red(sibling)) {
			set_black(sibling);
			set_red(parent);
			rotate(tree, parent, side);
			sibling = parent->child[!side];
		}
		if (!is_red(sibling->child[0]) && !is_red(sibling->child[1])) {
			set_red(sibling);
			node = parent;
			parent = parent_of(node);
			continue;
		}
		if (!is_red(sibling->child[!side])) {
			set_black(sibling->child[side]);
			set_red(sibling);
			rotate(tree, sibling, !side);
			sibling = parent->child[!side];
		}
		sibling->parent_and_color = (uintptr_t)parent_of(sibling) | is_red(parent);
		set_black(parent);
		set_black(sibling->child[!side]);
		rotate(tree, parent, side);
		return;
	}
	if (node)
		set_black(node);
}

void rbtree_replace(struct rbtree *tree, struct rbnode *old, struct rbnode *node)
{
	*node = *old;
	relink(tree, parent_of(old), old, node);
	for (int side = 0; side < 2; side++)
		if (node->child[side])
			set_parent(node->child[side], node);
}

void rbtree_erase(struct rbtree *tree, struct rbnode *node)
{
	struct rbnode *parent, *child;
	bool lost_black;

	if (node->child[RBTREE_LEFT] && node->child[RBTREE_RIGHT]) {
		struct rbnode *next = rbtree_next(node);

		/* The successor leaves its place, then takes that of @node. */
		parent = parent_of(next);
		child = next->child[RBTREE_RIGHT];
		lost_black = !is_red(next);
		if (child)
			set_parent(child, parent);
		set_link(&parent->child[side_of(parent, next)], child);
		if (parent == node)
			parent = next;
		rbtree_replace(tree, node, next);
	} else {
		child = node->child[RBTREE_LEFT] ? node->child[RBTREE_LEFT]
						 : node->child[RBTREE_RIGHT];
		parent = parent_of(node);
		lost_black = !is_red(node);
		if (child)
			set_parent(child, parent);
		relink(tree, parent, node, child);
	}
	if (lost_black)
		fix_erase(tree, parent, child);
}

struct build {
	struct rbnode *(*next)(void *state);
	void *state;
	unsigned red_depth;
};

static struct rbnode *build(struct build *b, size_t count, unsigned depth)
{
	size_t left_count = (count - 1) / 2;
	struct rbnode *left, *node;

	left = left_count > 0 ? build(b, left_count, depth + 1) : NULL;
	node = b->next(b->state);
	node->parent_and_color = depth == b->red_depth ? RED : 0;
	node->child[RBTREE_LEFT] = left;
	node->child[RBTREE_RIGHT] =
		count - 1 > left_count ? build(b, count - 1 - left_count, depth + 1) : NULL;
	for (int side = 0; side < 2; side++)
		if (node->child[side])
			set_parent(node->child[side], node);
	return node;
}

void rbtree_build(struct rbtree *tree, size_t count, struct rbnode *(*next)(void *state),
		  void *state)
{
	struct build b = { .next = next, .state = state };

	/* The first depth that @count nodes do not fill: floor(log2(count + 1)). */
	while (b.red_depth < 63 && ((size_t)2 << b.red_depth) - 1 <= count)
		b.red_depth++;
	tree->root = count > 0 ? build(&b, count, 0) : NULL;
}

struct rbnode *rbtree_first(const struct rbtree *tree)
{
	struct rbnode *node = tree->root;

	while (node && node->child[RBTREE_LEFT])
		node = node->child[RBTREE_LEFT];
	return node;
}

struct rbnode *rbtree_next(const struct rbnode *node)
{
	struct rbnode *next = node->child[RBTREE_RIGHT];

	if (next) {
		while (next->child[RBTREE_LEFT])
			next = next->child[RBTREE_LEFT];
		return next;
	}
	while ((next = parent_of(node)) && next->child[RBTREE_RIGHT] == node)
		node = next;
	return next;
}

static int check(const struct rbnode *node, const struct rbnode *parent)
{
	int left, right;

	if (!node)
		return 0;
	if (parent_of(node) != parent || (is_red(node) && is_red(parent)))
		return -1;
	left = check(node->child[RBTREE_LEFT], node);
	right = check(node->child[RBTREE_RIGHT], node);
	if (left < 0 || left != right)
		return -1;
	return left + !is_red(node);
}

int rbtree_check(const struct rbtree *tree)
{
	return is_red(tree->root) ? -1 : check(tree->root, NULL);
}
