/* SPDX-License-Identifier: MIT */
/*
 * What the files of the HTTP server share, for nobody else:
 *   http_server.c   the daemon in the loop, connections, deadlines, drain
 *   http_head.c     the head of a request: target, method, fields, what is refused
 *   http_request.c  the life of a request: body, waiting, suspending, finish
 *   http_answer.c   an answer as libmicrohttpd wants it, streamed or whole
 *
 * A request is suspended (taken out of libmicrohttpd's event handling) when its body is paused,
 * when its answer is not ready after a few turns, or when the source of its answer has nothing yet.
 * MHD_resume_connection() on one that is not suspended is undefined; request->suspended is the
 * truth about it.
 */
#pragma once

#include "lib/address_counts.h"
#include "lib/http_pace.h"
#include "lib/http_server.h"
#include "lib/mux_server.h"

#include <microhttpd.h>

/* An answer that is given while up to this many bytes of the body are still to come waits for them,
 * so that the connection lives on. */
#define BODY_DISCARD_MAX (1024 * 1024)

enum connection_phase { CONNECTION_IDLE, CONNECTION_HEAD, CONNECTION_BUSY, CONNECTION_MUX };

struct http_connection {
	struct http_server *server;
	struct MHD_Connection *mhd;
	int fd;
	enum connection_phase phase;
	bool closing; /* let go of because it was idle */
	bool doubtful; /* one more than there may be, until its first request finds room */
	uint64_t since_ms; /* of the phase */
	struct address_count *address; /* of the client; NULL: not counted */
	struct http_request *request; /* CONNECTION_HEAD, CONNECTION_BUSY */
	struct http_connection *next;
	struct http_connection **link;
	/* CONNECTION_MUX */
	struct mux_server *mux;
	struct MHD_UpgradeResponseHandle *upgrade;
	uint64_t mux_moved; /* at since_ms, which is when that was last seen to change */
	struct http_pace mux_pace; /* of a client that takes its answers, while any is left */
};

enum request_state {
	REQUEST_HEAD, /* the request line is known */
	REQUEST_BODY, /* begun; body bytes may come */
	REQUEST_WAITING, /* whole; the service has not answered */
	REQUEST_SENDING, /* the answer is libmicrohttpd's */
	REQUEST_LINGERING, /* the answer is out, the rest of the body is thrown away */
};

struct http_request {
	struct exchange exchange;
	struct http_server *server;
	struct http_connection *connection; /* NULL once finished */
	enum request_state state;
	bool begun; /* the service knows of it */
	bool in_handler; /* libmicrohttpd is calling: an answer is queued on return */
	bool suspended;
	bool resume_seen; /* a resume call came while the service was being asked */
	bool expects_continue;
	bool close; /* the connection ends with this answer */
	bool cut; /* broken off by a deadline or a lost client */
	bool upgrade; /* the answer hands the connection over */
	unsigned spins;
	uint64_t spin_turn;
	uint64_t progress_ms; /* when it last moved */
	uint64_t body_bytes; /* received */
	uint64_t streamed_bytes; /* of the answer, given to libmicrohttpd */
	uint64_t suspended_ms; /* when it was */
	uint64_t paused_ms; /* how long it was suspended in all, without what it is now */
	struct http_pace pace; /* REQUEST_BODY, REQUEST_SENDING */

	unsigned status;
	struct MHD_Response *response; /* until it is queued */
	struct answer answer; /* keeps the source while it is sent */

	char *path; /* the exchange's, behind target */
	char target[]; /* as sent */
};

struct http_server {
	struct loop *loop;
	struct http_service service;
	struct http_server_options options;
	char *token;
	struct MHD_Daemon *daemon;
	struct loop_fd epoll;
	struct loop_hook hook;
	struct loop_timer sweep;
	uint32_t sweep_interval_ms;
	struct http_pace_limits body_limits;
	struct http_pace_limits answer_limits;
	uint64_t now_ms; /* read once a turn */
	uint64_t turns;
	struct http_connection *connections;
	unsigned connection_count;
	unsigned leaving; /* of these: let go of */
	bool crowded; /* somebody came whom there was no room for */
	struct address_counts *addresses;
	uint64_t made_room_ms;
	unsigned busy; /* exchanges begun and not finished, without multiplexed ones */
	unsigned mux_busy; /* those */
	unsigned waiting; /* requests that wait for their service without being suspended */
	int listen_fd;
	bool listening;
	bool draining;
	bool running; /* inside MHD_run */
	bool progress; /* something moved in this MHD_run: another may move more */
};

/* http_head.c */
/* The texts of a request line as libmicrohttpd hands them out. */
struct request_line {
	const char *method;
	const char *target;
	const char *version;
};

/* Fills the exchange from the head and either begins it with the service or refuses it. */
void http_head_begin(struct http_request *request, const struct request_line *line);
/* What followed the body. Refuses a trailer that can't be read in one way only. */
void http_head_take_trailer(struct http_request *request);

/* http_request.c */
extern const struct exchange_transport http_transport;
/* libmicrohttpd's callbacks. */
void *http_request_new(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result http_request_handle(void *cls, struct MHD_Connection *mhd, const char *url,
				    const char *method, const char *version, const char *data,
				    size_t *len, void **context);
void http_request_completed(void *cls, struct MHD_Connection *mhd, void **context,
			    enum MHD_RequestTerminationCode code);
void http_request_suspend(struct http_request *request);
void http_request_resume(struct http_request *request);
/* Ends the exchange at once and the connection in the next MHD_run. */
void http_request_cut(struct http_request *request);

/* http_answer.c */
/* Turns request->answer into request->response. 0 or -ENOMEM. */
int http_answer_prepare(struct http_request *request);
/* Writes request->answer to the socket, past libmicrohttpd, which takes no response while a body
 * comes. The connection then ends once the client has read it. False: it must go the usual way. */
bool http_answer_at_once(struct http_request *request);

/* http_server.c */
void http_server_progress(struct http_server *server);
struct http_connection *http_connection_of(struct MHD_Connection *mhd);
/* Whether there are more than there may be, of all clients or of this one. */
enum connection_excess { EXCESS_NONE, EXCESS_OF_ALL, EXCESS_OF_ADDRESS };
enum connection_excess http_connection_excess(const struct http_connection *connection);
void http_connection_set_phase(struct http_connection *connection, enum connection_phase phase);
/* libmicrohttpd hands over the socket of an upgraded connection. */
void http_connection_upgraded(void *cls, struct MHD_Connection *mhd, void *context,
			      const char *extra, size_t extra_len, MHD_socket fd,
			      struct MHD_UpgradeResponseHandle *upgrade);
