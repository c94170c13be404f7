# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What scripts/bench http measures: hexkv and what one would put in its place, each on ports of its
# own, all filled with the same records.
#   hexkv    a router and one node
#   node     the node of it, asked directly
#   haproxy  in front of that node
#   nginx    proxying to a second nginx, which serves files and takes them by DAV
#   etcd     through its JSON gateway
#   bare     libmicrohttpd alone, one answer for everything
# ADDRESS[NAME] is where each listens.

declare -A ADDRESS=()
HTTP_KEYS=1000
# shellcheck disable=SC2034 # for the rows
HTTP_LARGE=8 # keys of 16 MiB each

# ---- nginx ---------------------------------------------------------------------------------------

# nginx_head NAME
nginx_head()
{
	cat <<-TEXT
	user root;
	daemon off;
	worker_processes auto;
	pid $TMP/$1.pid;
	error_log stderr;
	events { worker_connections 4096; }
	http {
		access_log off;
		sendfile on;
		tcp_nopush on;
		keepalive_requests 1000000000;
		client_max_body_size 0;
		client_body_temp_path $TMP/$1-body;
		proxy_temp_path $TMP/$1-proxy;
	TEXT
}

# What helps it is set: connections that stay, nothing put aside in files.
nginx_front()
{
	nginx_head nginx-front
	cat <<-TEXT
		upstream back {
			server 127.0.0.1:$2;
			keepalive 512;
			keepalive_requests 1000000000;
		}
		server {
			listen 127.0.0.1:$1 backlog=4096;
			location / {
				proxy_pass http://back;
				proxy_http_version 1.1;
				proxy_set_header Connection "";
				proxy_request_buffering off;
				proxy_max_temp_file_size 0;
			}
		}
	}
	TEXT
}

nginx_back()
{
	nginx_head nginx-back
	cat <<-TEXT
		server {
			listen 127.0.0.1:$1 backlog=4096;
			root $TMP/nginx;
			dav_methods PUT DELETE;
		}
	}
	TEXT
}

# nginx_start FRONT-PORT BACK-PORT
nginx_start()
{
	mkdir -p "$TMP/nginx/kv"
	nginx_front "$1" "$2" >"$TMP/nginx-front.conf"
	nginx_back "$2" >"$TMP/nginx-back.conf"
	start_process nginx-back nginx -p "$TMP" -e stderr -c "$TMP/nginx-back.conf"
	expect_within 10 port_is_taken "$2"
	start_process nginx-front nginx -p "$TMP" -e stderr -c "$TMP/nginx-front.conf"
	expect_within 10 port_is_taken "$1"
	ADDRESS[nginx]=127.0.0.1:$1
}

# ---- haproxy -------------------------------------------------------------------------------------

# haproxy_start PORT NODE
haproxy_start()
{
	cat >"$TMP/haproxy.conf" <<-TEXT
	global
		maxconn 8192
	defaults
		mode http
		timeout connect 5s
		timeout client 60s
		timeout server 60s
		http-reuse always
	frontend front
		bind 127.0.0.1:$1
		default_backend back
	backend back
		server node $2
	TEXT
	start_process haproxy haproxy -db -f "$TMP/haproxy.conf"
	expect_within 10 port_is_taken "$1"
	ADDRESS[haproxy]=127.0.0.1:$1
}

# ---- etcd ----------------------------------------------------------------------------------------

etcd_answers()
{
	curl -fsS -m 2 -o /dev/null "http://${ADDRESS[etcd]}/health" 2>/dev/null
}

# etcd_start PORT PEER-PORT
etcd_start()
{
	local client=http://127.0.0.1:$1 peer=http://127.0.0.1:$2
	ADDRESS[etcd]=127.0.0.1:$1
	start_process etcd etcd --name bench --data-dir "$TMP/etcd" \
		--log-level error --quota-backend-bytes 8589934592 \
		--listen-client-urls "$client" --advertise-client-urls "$client" \
		--listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
		--initial-cluster "bench=$peer"
	expect_within 20 etcd_answers
}

# ---- bare ----------------------------------------------------------------------------------------

bare_listens()
{
	[[ $(cat "$TMP/log/bare" 2>/dev/null) =~ ^[0-9]+$ ]]
}

bare_start()
{
	start_process bare "$BUILD/tests/bench/bench-bare" --value-bytes 1024
	expect_within 10 bare_listens
	ADDRESS[bare]=127.0.0.1:$(<"$TMP/log/bare")
}

# ---- records -------------------------------------------------------------------------------------

# first_key BYTES: values of each size have names of their own, since a write that wrk has turned its
# back on may still be made after it has ended.
first_key()
{
	case $1 in
	1024) printf 1000 ;;
	65536) printf 3000 ;;
	*) printf 5000 ;;
	esac
}

# put_all ADDRESS BYTES COUNT
put_all()
{
	local first
	first=$(first_key "$2")
	head -c "$2" /dev/zero | tr '\0' v >"$TMP/value"
	curl -sSf -o /dev/null -T "$TMP/value" "http://$1/kv/[$first-$((first + $3 - 1))]" ||
		fail "$1 can not be filled"
}

# The same keys as everywhere, as wrk will ask for them.
etcd_fill()
{
	wrk -t 1 -c 8 -d 1s -s "$SOURCE_ROOT/tests/bench/http.lua" \
		"http://${ADDRESS[etcd]}" -- etcd-put "$HTTP_KEYS" 1024 1000 >"$TMP/etcd-filled"
	curl -sS -d "{\"key\":\"$(printf 1999 | base64)\"}" "http://${ADDRESS[etcd]}/v3/kv/range" |
		jq -e '.count == "1"' >/dev/null || fail 'etcd was not filled'
}

http_systems_start()
{
	cluster_start 1
	ADDRESS[hexkv]=127.0.0.1:$ROUTER_PORT
	ADDRESS[node]=${NODE_URLS[0]#http://}
	haproxy_start $((PORT_BASE + 2)) "${ADDRESS[node]}"
	nginx_start $((PORT_BASE + 3)) $((PORT_BASE + 4))
	etcd_start $((PORT_BASE + 5)) $((PORT_BASE + 6))
	bare_start
	etcd_fill
}

# Those that do not end with 0 on SIGTERM; the rest ends with everything.
http_systems_end()
{
	end_process haproxy
	end_process etcd
}
