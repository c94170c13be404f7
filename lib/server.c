/* SPDX-License-Identifier: MIT */
/*
 * Threads: the main thread binds, starts the workers and then only waits for signals; every worker
 * owns its loop and HTTP server. They meet at two points under the lock: all workers have started,
 * then all serve. A port accepts nobody before everything behind it has started.
 */
#include "lib/server.h"

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/container_of.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/mutex.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_POLL_MS 5
/* By which server_restart() wakes the main thread; from elsewhere it means nothing. */
#define RESTART_SIGNAL SIGUSR1

enum server_phase { SERVER_STARTING, SERVER_SERVING, SERVER_FAILED };

struct server_worker {
	struct worker worker; /* what the service sees */
	pthread_t thread;
	int listen_fd;
	struct http_server *http;
	struct loop_hook hook;
	struct loop_task drain;
	struct loop_timer drain_timer;
	uint64_t drain_deadline_ms;
	_Atomic unsigned busy;
};

struct server {
	/* immutable */
	const struct server_options *options;
	const struct server_service *service;
	void *program;
	unsigned worker_count;
	struct server_worker *workers;
	pthread_t main;

	struct mutex lock;
	struct condition changed;
	/* protected by lock */
	enum server_phase phase;
	unsigned started; /* start() has returned, whatever it said */
	unsigned serving;
	unsigned ended;
	int error; /* the first that a worker met */

	_Atomic bool ready;
	_Atomic bool restart;
};

static void set_error_locked(struct server *server, int error) REQUIRES(server->lock)
{
	if (error < 0 && !server->error)
		server->error = error;
}

/* Workers */

/* Ends the HTTP side once its requests have finished or the time is up, then waits for what the
 * service still has under way, then stops the service. */
static void drain_step(struct loop_timer *timer)
{
	struct server_worker *w = container_of(timer, struct server_worker, drain_timer);
	const struct server_service *service = w->worker.server->service;
	uint64_t now = clock_monotonic_ms();

	if (w->http && (http_server_busy(w->http) == 0 || now >= w->drain_deadline_ms))
		w->http = http_server_free(w->http);
	if (w->http || (service->busy && service->busy(&w->worker))) {
		loop_set_timer(w->worker.loop, timer, now + DRAIN_POLL_MS);
		return;
	}
	if (service->stop)
		service->stop(&w->worker);
	loop_stop(w->worker.loop);
}

static void begin_drain(struct loop_task *task)
{
	struct server_worker *w = container_of(task, struct server_worker, drain);
	const struct server_service *service = w->worker.server->service;

	if (w->http)
		http_server_drain(w->http);
	if (service->drain)
		service->drain(&w->worker);
	w->drain_deadline_ms = clock_monotonic_ms() + w->worker.server->options->drain_ms;
	drain_step(&w->drain_timer);
}

static int count_busy(struct loop_hook *hook)
{
	struct server_worker *w = container_of(hook, struct server_worker, hook);

	if (w->http)
		atomic_store_explicit(&w->busy, http_server_busy(w->http), memory_order_relaxed);
	return -1;
}

static void begin_exchange(struct exchange *ex, void *state)
{
	struct server_worker *w = state;

	w->worker.server->service->begin(ex, &w->worker);
}

/* Waits until every worker has started. Returns whether the server goes on. */
static bool meet_started(struct server *server, int error)
{
	bool serve;

	mutex_lock(&server->lock);
	set_error_locked(server, error);
	server->started++;
	condition_broadcast(&server->changed);
	while (server->phase == SERVER_STARTING)
		condition_wait(&server->changed, &server->lock);
	serve = server->phase == SERVER_SERVING;
	mutex_unlock(&server->lock);
	return serve;
}

static void meet_serving(struct server *server, int error)
{
	mutex_lock(&server->lock);
	set_error_locked(server, error);
	server->serving++;
	condition_broadcast(&server->changed);
	mutex_unlock(&server->lock);
}

/* Runs until the drain has ended the service. A worker that could not begin to serve waits for the
 * drain as well: the others learn of it by the error. */
static int serve(struct server_worker *w)
{
	struct server *server = w->worker.server;
	struct http_service service = { .begin = begin_exchange, .state = w };
	int r = listen_start(w->listen_fd);

	if (r == 0)
		r = http_server_new(w->worker.loop, w->listen_fd, &service, &server->options->http,
				    &w->http);
	w->hook = (struct loop_hook){ .turn = count_busy, .late = true };
	loop_add_hook(w->worker.loop, &w->hook);
	meet_serving(server, r);
	return loop_run(w->worker.loop);
}

/* Another worker has failed to start. */
static void stop_unserved(struct server_worker *w)
{
	if (w->worker.server->service->stop)
		w->worker.server->service->stop(&w->worker);
	/* Runs what the stop has posted. */
	loop_stop(w->worker.loop);
	loop_run(w->worker.loop);
}

static void run_worker(struct server_worker *w)
{
	struct server *server = w->worker.server;
	bool started = false;
	int r = loop_new(&w->worker.loop);

	if (r == 0) {
		r = server->service->start ? server->service->start(&w->worker, server->program)
					   : 0;
		started = r == 0;
	}
	if (!meet_started(server, r)) {
		if (started)
			stop_unserved(w);
		return;
	}
	r = serve(w);
	if (r < 0) {
		log_error("worker failed", "worker=%u error=%d", w->worker.index, -r);
		mutex_lock(&server->lock);
		set_error_locked(server, r);
		mutex_unlock(&server->lock);
		w->http = http_server_free(w->http);
		/* The others drain as for any other reason to stop. */
		kill(getpid(), SIGTERM);
	}
}

static void *worker_thread(void *arg)
{
	struct server_worker *w = arg;
	struct server *server = w->worker.server;

	run_worker(w);
	mutex_lock(&server->lock);
	server->ended++;
	mutex_unlock(&server->lock);
	return NULL;
}

/* The main thread */

static int start_threads(struct server *server)
{
	for (unsigned i = 0; i < server->worker_count; i++) {
		struct server_worker *w = &server->workers[i];
		int r;

		w->worker = (struct worker){ .server = server, .index = i };
		w->drain.run = begin_drain;
		w->drain_timer.expired = drain_step;
		r = pthread_create(&w->thread, NULL, worker_thread, w);
		if (r != 0) {
			server->worker_count = i;
			return -r;
		}
	}
	return 0;
}

/* Lets the workers go on to serve, or to end if one has failed. */
static int start_workers(struct server *server)
{
	int r = start_threads(server);

	mutex_lock(&server->lock);
	set_error_locked(server, r);
	while (server->started < server->worker_count)
		condition_wait(&server->changed, &server->lock);
	server->phase = server->error ? SERVER_FAILED : SERVER_SERVING;
	condition_broadcast(&server->changed);
	while (server->phase == SERVER_SERVING && server->serving < server->worker_count)
		condition_wait(&server->changed, &server->lock);
	r = server->error;
	mutex_unlock(&server->lock);
	return r;
}

static bool has_ended(struct server *server)
{
	bool ended;

	mutex_lock(&server->lock);
	ended = server->ended == server->worker_count;
	mutex_unlock(&server->lock);
	return ended;
}

/* Posts the drain to every worker that serves, and waits for all. A second signal ends the program
 * at once: what is stored survives that, what is under way is lost. */
static void drain_workers(struct server *server, const sigset_t *signals)
{
	struct timespec interval = { .tv_nsec = 10 * 1000000 };

	mutex_lock(&server->lock);
	for (unsigned i = 0; i < server->worker_count; i++)
		if (server->phase == SERVER_SERVING)
			loop_post(server->workers[i].worker.loop, &server->workers[i].drain);
	mutex_unlock(&server->lock);
	while (!has_ended(server)) {
		if (sigtimedwait(signals, NULL, &interval) > 0) {
			log_warn("stopped at once", "reason=\"second signal\"");
			_exit(1);
		}
	}
}

static unsigned busy_count(const struct server *server)
{
	unsigned busy = 0;

	for (unsigned i = 0; i < server->worker_count; i++)
		busy += atomic_load_explicit(&server->workers[i].busy, memory_order_relaxed);
	return busy;
}

/* Returns what ended it: a signal, or RESTART_SIGNAL. */
static int wait_for_end(const struct server *server, const sigset_t *signals)
{
	sigset_t all = *signals;
	int signal_number;

	sigaddset(&all, RESTART_SIGNAL);
	do
		sigwait(&all, &signal_number);
	while (signal_number == RESTART_SIGNAL && !atomic_load(&server->restart));
	return signal_number;
}

/* *ret_again: whether a restart ended it. */
static int run(struct server *server, const sigset_t *signals, bool *ret_again)
{
	uint16_t port = 0;
	int signal_number;
	int r = 0;

	for (unsigned i = 0; i < server->worker_count && r == 0; i++)
		r = listen_bind(server->options->listen, i == 0, &port,
				&server->workers[i].listen_fd);
	if (r < 0)
		return r;
	r = start_workers(server);
	if (r == 0 && server->options->port_file)
		r = listen_write_port_file(server->options->port_file, port);
	if (r == 0) {
		log_info("serving", "listen=%s port=%u workers=%u", server->options->listen, port,
			 server->worker_count);
		atomic_store(&server->ready, true);
		signal_number = wait_for_end(server, signals);
		atomic_store(&server->ready, false);
		*ret_again = signal_number == RESTART_SIGNAL;
		if (*ret_again)
			log_info("draining", "reason=restart busy=%u", busy_count(server));
		else
			log_info("draining", "signal=%d busy=%u", signal_number,
				 busy_count(server));
	}
	drain_workers(server, signals);
	for (unsigned i = 0; i < server->worker_count; i++) {
		pthread_join(server->workers[i].thread, NULL);
		loop_free(server->workers[i].worker.loop);
	}
	return r < 0 ? r : server->error;
}

void server_block_signals(sigset_t *ret_signals)
{
	sigset_t signals;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	if (ret_signals)
		*ret_signals = signals;
	sigaddset(&signals, RESTART_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

/* Streams take and give back buffers of up to a MiB all the time. Handed back to the kernel each
 * time they would cost more in page faults than in copying. */
static void keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 2 << 20);
	mallopt(M_TRIM_THRESHOLD, 4 << 20);
}

int server_run(const struct server_options *options, const struct server_service *service,
	       void *program)
{
	struct server server = {
		.options = options,
		.service = service,
		.program = program,
		.worker_count = options->workers ? options->workers : 1,
		.main = pthread_self(),
	};
	sigset_t signals;
	bool again = false;
	int r;

	keep_memory();
	server_block_signals(&signals);
	server.workers = calloc(server.worker_count, sizeof(server.workers[0]));
	if (!server.workers) {
		log_error("start failed", "reason=\"out of memory\"");
		return 1;
	}
	for (unsigned i = 0; i < server.worker_count; i++)
		server.workers[i].listen_fd = -1;
	mutex_init(&server.lock);
	condition_init(&server.changed);
	r = run(&server, &signals, &again);
	for (unsigned i = 0; i < server.worker_count; i++)
		closep(&server.workers[i].listen_fd);
	condition_deinit(&server.changed);
	mutex_deinit(&server.lock);
	free(server.workers);
	if (r < 0)
		log_error("stopped", "error=%d reason=\"%s\"", -r, strerror(-r));
	else if (!again)
		log_info("stopped", "%s", "status=0");
	if (r < 0)
		return 1;
	return again ? SERVER_RESTART : 0;
}

bool server_is_ready(const struct server *server)
{
	return atomic_load(&server->ready);
}

void server_restart(struct server *server)
{
	if (!atomic_exchange(&server->restart, true))
		pthread_kill(server->main, RESTART_SIGNAL);
}
