/* SPDX-License-Identifier: MIT */
/*
 * Intrusive red-black tree. The user embeds a node, descends by itself (its own comparison) and
 * links the node where the descent ended.
 *
 * Threads: the caller serialises changes; any number may read a tree that does not change. With
 * rbtree_root() and rbtree_child() one may also descend while it does, as long as no node is freed:
 * one then sees nodes that were completely set up before they were linked, but may miss any, and
 * go round in circles.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum rbtree_side { RBTREE_LEFT = 0, RBTREE_RIGHT = 1 };

struct rbnode {
	uintptr_t parent_and_color; /* bit 0: red */
	struct rbnode *child[2];
};

struct rbtree {
	struct rbnode *root;
};

static inline struct rbnode *rbtree_root(const struct rbtree *tree)
{
	return __atomic_load_n(&tree->root, __ATOMIC_ACQUIRE);
}

static inline struct rbnode *rbtree_child(const struct rbnode *node, int side)
{
	return __atomic_load_n(&node->child[side], __ATOMIC_ACQUIRE);
}

/* Links @node below @parent (NULL: the tree is empty), whose child on @side is empty. */
void rbtree_insert(struct rbtree *tree, struct rbnode *parent, enum rbtree_side side,
		   struct rbnode *node);
void rbtree_erase(struct rbtree *tree, struct rbnode *node);
/* Puts @node in the place of @old, which keeps its stale links. */
void rbtree_replace(struct rbtree *tree, struct rbnode *old, struct rbnode *node);
/* Links @count nodes in one pass; @next yields them in ascending order. The tree was empty. */
void rbtree_build(struct rbtree *tree, size_t count, struct rbnode *(*next)(void *state),
		  void *state);

struct rbnode *rbtree_first(const struct rbtree *tree);
struct rbnode *rbtree_next(const struct rbnode *node);
/* The number of black nodes on every path, or -1 if an invariant does not hold. */
int rbtree_check(const struct rbtree *tree);
