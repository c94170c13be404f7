/* SPDX-License-Identifier: MIT */
/*
 * Hops that wait for somebody to go to, and reads that have no answer yet: when what is known of
 * the leaders changes, the former go to their new leader, and the latter, if their node is lost, to
 * another one. A node that stands still so holds no read for longer than it takes to notice.
 *
 * The table of leaders is looked at while there are such hops; nobody is called back by others, and
 * never from inside hop_start().
 */
#include "lib/clock.h"
#include "lib/container_of.h"
#include "router/hop.h"

#define LOOK_MS 10

static int look_at(struct service *service, uint64_t due_ms)
{
	struct loop_timer *timer = &service->hop_timer;

	if (timer->armed && timer->due_ms <= due_ms)
		return 0;
	return loop_set_timer(service->loop, timer, due_ms);
}

static void link_hop(struct hop *hop)
{
	struct service *service = hop->service;

	hop->previous = service->last_hop;
	hop->next = NULL;
	if (service->last_hop)
		service->last_hop->next = hop;
	else
		service->first_hop = hop;
	service->last_hop = hop;
}

void hop_unlink(struct hop *hop)
{
	struct service *service = hop->service;

	if (!hop->waiting && !hop->movable)
		return;
	if (hop->previous)
		hop->previous->next = hop->next;
	else
		service->first_hop = hop->next;
	if (hop->next)
		hop->next->previous = hop->previous;
	else
		service->last_hop = hop->previous;
	hop->previous = hop->next = NULL;
	hop->waiting = hop->movable = false;
}

int hop_wait(struct hop *hop)
{
	uint64_t now = clock_monotonic_ms();
	uint64_t lost = leaders_lost_ms(hop->service->router->leaders, hop->shard);
	int r;

	hop->wait_until_ms = (lost > 0 ? lost : now) + LEADERS_WAIT_MS;
	if (hop->wait_until_ms > hop->deadline_ms)
		hop->wait_until_ms = hop->deadline_ms;
	r = look_at(hop->service, hop->wait_until_ms > now ? now + LOOK_MS : now);
	if (r < 0)
		return r;
	hop->waiting = hop->under_way = true;
	link_hop(hop);
	return 0;
}

void hop_watch(struct hop *hop)
{
	/* It is on its way all the same. An armed timer is never set for later than that. */
	if (!hop->service->hop_timer.armed &&
	    look_at(hop->service, clock_monotonic_ms() + LOOK_MS) < 0)
		return;
	hop->movable = true;
	link_hop(hop);
}

/* Whether there is somebody else to ask than a node that is lost. */
static bool should_move(struct hop *hop)
{
	struct leaders *leaders = hop->service->router->leaders;
	const struct cluster_node *leader;
	struct leaders_view view;
	bool leads;

	leader = leaders_leader(leaders, hop->shard, &leads);
	if (hop->node == leader)
		return !leads && leaders_reader(leaders, hop->shard, false);
	leaders_view(leaders, hop->node, &view);
	return !view.heard && (leads || leaders_reader(leaders, hop->shard, false));
}

static bool may_go(struct hop *hop)
{
	struct leaders *leaders = hop->service->router->leaders;
	bool leads;

	leaders_leader(leaders, hop->shard, &leads);
	if (leads)
		return true;
	return (hop->way == HOP_READ || hop->way == HOP_READ_ANY) &&
	       leaders_reader(leaders, hop->shard, false);
}

static void give_up(struct hop *hop)
{
	hop->nobody = true;
	hop->call.handler->done(&hop->call, OUTCOME_UNAVAILABLE, false);
}

/* True if @hop has moved, been called back, or gone. */
static bool handle(struct hop *hop, uint64_t now)
{
	if (hop->waiting && may_go(hop)) {
		hop_unlink(hop);
	} else if (hop->waiting && now >= hop->wait_until_ms) {
		hop_unlink(hop);
		give_up(hop);
		return true;
	} else if (hop->movable && should_move(hop)) {
		hop_unlink(hop);
		call_cancel(&hop->call);
		counter_add(&hop->service->router->counters.moved_on, 1);
	} else {
		return false;
	}
	hop->under_way = false;
	if (hop_go(hop) < 0)
		give_up(hop);
	return true;
}

void hop_look(struct loop_timer *timer)
{
	struct service *service = container_of(timer, struct service, hop_timer);
	uint64_t generation = leaders_generation(service->router->leaders);
	bool changed = generation != service->hops_seen;
	uint64_t now = clock_monotonic_ms();
	struct hop *hop = service->first_hop;

	service->hops_seen = generation;
	while (hop) {
		/* Others may have gone with it. Those at the head are done with. */
		if ((changed || hop->waiting) && handle(hop, now))
			hop = service->first_hop;
		else
			hop = hop->next;
	}
	if (service->first_hop)
		(void)look_at(service, clock_monotonic_ms() + LOOK_MS);
}
