/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conversations of HTTP/1 and not quite HTTP/1, and the events that an observer tells of them. */
#ifndef TESTS_HTTP1_CASES_H
#define TESTS_HTTP1_CASES_H

#include "protocol.h"

struct http1_step {
	enum { STEP_BYTES, STEP_FIN, STEP_RESET } what;
	enum way way;
	const char *bytes;
	size_t len;
};

#define STEPS_MAX 8

struct http1_case {
	const char *name;
	const char *expect;
	struct http1_step steps[STEPS_MAX];
	size_t count;
};

#define CLIENT(text)                                              \
	{                                                         \
		STEP_BYTES, WAY_TO_SERVER, text, sizeof(text) - 1 \
	}
#define SERVER(text)                                              \
	{                                                         \
		STEP_BYTES, WAY_TO_CLIENT, text, sizeof(text) - 1 \
	}
#define CLIENT_FIN                               \
	{                                        \
		STEP_FIN, WAY_TO_SERVER, NULL, 0 \
	}
#define SERVER_FIN                               \
	{                                        \
		STEP_FIN, WAY_TO_CLIENT, NULL, 0 \
	}
#define SERVER_RESET                               \
	{                                          \
		STEP_RESET, WAY_TO_CLIENT, NULL, 0 \
	}
#define CLIENT_RESET                               \
	{                                          \
		STEP_RESET, WAY_TO_SERVER, NULL, 0 \
	}
#define CASE(name, expect, ...)                                                                  \
	{                                                                                        \
		name, expect, { __VA_ARGS__ },                                                   \
			sizeof((struct http1_step[]){ __VA_ARGS__ }) / sizeof(struct http1_step) \
	}

#define GET  CLIENT("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
#define POST CLIENT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
#define OK   SERVER("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
/* The events of GET and OK. */
#define GET_OK "is http1\n+GET\n-GET\nGET 1.1 'h' 200 req=0 resp=2 ok\n"
/* Of a GET after which the thread is lost. */
#define GET_LOST(reason) "is http1\n+GET\n-GET\nlost " reason "\nis tcp\n"
#define TEN		 "0123456789"
#define ZEROS		 "0000000000"
#define HUNDRED_ZEROS	 ZEROS ZEROS ZEROS ZEROS ZEROS ZEROS ZEROS ZEROS ZEROS ZEROS
#define HUNDRED		 TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct http1_case http1_cases[] = {
	CASE("plain", GET_OK, GET, OK),
	CASE("nothing", "", CLIENT_FIN, SERVER_FIN),
	CASE("kept connection", GET_OK "+POST\n-POST\nPOST 1.1 'h' 200 req=3 resp=2 ok\n", GET, OK,
	     POST, OK),
	CASE("pipelined with different hosts",
	     "is http1\n+GET\n+PUT\n+DELETE\n+PATCH\n-GET\nGET 1.1 'a' 200 req=0 resp=2 ok\n"
	     "-PUT\nPUT 1.1 'b' 200 req=1 resp=2 ok\n-DELETE\nDELETE 1.1 'b' 200 req=0 resp=2 ok\n"
	     "-PATCH\nPATCH 1.0 '' 0 req=0 resp=0 no_response\n",
	     CLIENT("GET / HTTP/1.1\r\nHost: a\r\n\r\nPUT / HTTP/1.1\r\nHost: b\r\n"
		    "Content-Length: 1\r\n\r\nxDELETE / HTTP/1.1\r\nHost:b:8080 \r\n\r\n"
		    "PATCH / HTTP/1.0\r\n\r\n"),
	     OK, OK, OK),
	CASE("answers in one read",
	     "is http1\n+GET\n+GET\n-GET\nGET 1.1 'h' 404 req=0 resp=0 ok\n"
	     "-GET\nGET 1.1 'h' 500 req=0 resp=1 ok\n",
	     GET, GET,
	     SERVER("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
		    "HTTP/1.1 500 \r\nContent-Length: 1\r\n\r\nx")),
	CASE("HEAD, its length is not a length",
	     "is http1\n+HEAD\n-HEAD\nHEAD 1.1 '' 200 req=0 resp=0 ok\n"
	     "+GET\n-GET\nGET 1.1 'h' 200 req=0 resp=2 ok\n",
	     CLIENT("HEAD / HTTP/1.1\r\n\r\n"),
	     SERVER("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nTransfer-Encoding: "
		    "chunked\r\n\r\n"),
	     GET, OK),
	CASE("204 and 304 have no content",
	     "is http1\n+GET\n-GET\nGET 1.1 'h' 204 req=0 resp=0 ok\n"
	     "+GET\n-GET\nGET 1.1 'h' 304 req=0 resp=0 ok\n",
	     GET, SERVER("HTTP/1.1 204 No Content\r\n\r\n"), GET,
	     SERVER("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n")),
	CASE("205 is framed as usual", "is http1\n+GET\n-GET\nGET 1.1 'h' 205 req=0 resp=0 ok\n",
	     GET, SERVER("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n")),
	CASE("interim responses", "is http1\n+POST\n-POST\nPOST 1.1 'h' 201 req=3 resp=0 ok\n",
	     CLIENT("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
		    "3\r\n\r\n"),
	     SERVER("HTTP/1.1 100 Continue\r\n\r\n"), CLIENT("abc"),
	     SERVER("HTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\nHTTP/1.1 103 Early "
		    "Hints\r\n"
		    "Link: </s.css>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")),
	CASE("early answer, the content still goes",
	     "is http1\n+POST\n-POST\nPOST 1.1 'h' 413 req=3 resp=0 ok\n"
	     "+GET\n-GET\nGET 1.1 'h' 200 req=0 resp=2 ok\n",
	     CLIENT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na"),
	     SERVER("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
	     CLIENT("bcGET / HTTP/1.1\r\nHost: h\r\n\r\n"), OK),
	CASE("early answer, the server closes and the client too",
	     "is http1\n+POST\n-POST\nPOST 1.1 'h' 413 req=1 resp=4 ok\n",
	     CLIENT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na"),
	     SERVER("HTTP/1.1 413 Too Large\r\n\r\nmuch"), SERVER_FIN, CLIENT_FIN),
	CASE("chunked both ways, extensions and trailers",
	     "is http1\n+POST\n-POST\nPOST 1.1 'h' 200 req=20 resp=3 ok\n" /* 16 + 4 */
	     "+GET\n-GET\nGET 1.1 'h' 200 req=0 resp=2 ok\n",
	     CLIENT("POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: gzip, Chunked\r\n\r\n"
		    "10;name=\"v\"\r\n0123456789abcdef\r\n0004 \r\n\r\n\r\n\r\n0\r\n"
		    "Content-Length: 7\r\nX: y\r\n\r\n"),
	     SERVER("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0;last\n\n"), GET,
	     OK),
	CASE("content that looks like messages",
	     "is http1\n+PUT\n-PUT\nPUT 1.1 '' 200 req=18 resp=19 ok\n",
	     CLIENT("PUT / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
	     SERVER("HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")),
	CASE("coding without chunked ends with the stream",
	     "is http1\n+GET\n-GET\nGET 1.1 'h' 200 req=0 resp=7 ok\n", GET,
	     SERVER("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\nxy"), SERVER_FIN),
	CASE("HTTP/1.0, ended by the stream",
	     "is http1\n+GET\n-GET\nGET 1.0 '' 200 req=0 resp=5 ok\n",
	     CLIENT("GET / HTTP/1.0\r\n\r\n"), SERVER("HTTP/1.0 200 OK\r\n\r\nhello"), SERVER_FIN),
	CASE("ended by a reset instead",
	     "is http1\n+GET\n-GET\nGET 1.0 '' 200 req=0 resp=5 reset\n",
	     CLIENT("GET / HTTP/1.0\r\n\r\n"), SERVER("HTTP/1.0 200 OK\r\n\r\nhello"),
	     SERVER_RESET),
	CASE("the client breaks off before an answer",
	     "is http1\n+GET\n-GET\nGET 1.1 'h' 0 req=0 resp=0 cancelled\n", GET, CLIENT_RESET),
	CASE("the client breaks off in an answer",
	     "is http1\n+GET\n-GET\nGET 1.1 'h' 200 req=0 resp=1 cancelled\n", GET,
	     SERVER("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"), CLIENT_RESET),
	CASE("cut in the content", "is http1\n+GET\n-GET\nGET 1.1 'h' 200 req=0 resp=1 reset\n",
	     GET, SERVER("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"), SERVER_FIN, CLIENT_FIN),
	CASE("cut in the head", "is http1\n+GET\n-GET\nGET 1.1 'h' 200 req=0 resp=0 reset\n", GET,
	     SERVER("HTTP/1.1 200 OK\r\nContent-"), SERVER_FIN),
	CASE("closed without an answer",
	     "is http1\n+GET\n-GET\nGET 1.1 'h' 0 req=0 resp=0 no_response\n", GET, SERVER_FIN,
	     CLIENT_FIN),
	CASE("half a request, then an answer",
	     "is http1\n+POST\n-POST\nPOST 1.1 'h' 408 req=1 resp=0 ok\n",
	     CLIENT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na"), CLIENT_FIN,
	     SERVER("HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n"), SERVER_FIN),
	CASE("half a head, then an answer",
	     "is http1\n+GET\n-GET\nGET 1.1 'h' 408 req=0 resp=0 ok\n",
	     CLIENT("GET / HTTP/1.1\r\nHost: h\r\nX-"),
	     SERVER("HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n"), SERVER_FIN, CLIENT_FIN),
	CASE("half-closed client", GET_OK, GET, CLIENT_FIN, OK, SERVER_FIN),
	CASE("CONNECT", "is http1\n+CONNECT\n-CONNECT\nCONNECT 1.1 'x.test' 200 req=0 resp=0 ok\n",
	     CLIENT("CONNECT x.test:443 HTTP/1.1\r\nHost: ignored\r\n\r\n"),
	     SERVER("HTTP/1.1 200 Established\r\nContent-Length: 9\r\n\r\n"),
	     CLIENT("\x16\x03\x01 garbage"), SERVER("HTTP/1.1 200 OK\r\n\r\n"), GET),
	CASE("CONNECT, the tunnel is assumed",
	     "is http1\n+CONNECT\n-CONNECT\nCONNECT 1.1 'x.test' 200 req=0 resp=0 ok\n",
	     CLIENT("CONNECT x.test:443 HTTP/1.1\r\n\r\nearly"),
	     SERVER("HTTP/1.1 200 OK\r\n\r\nlate"), CLIENT("more")),
	CASE("CONNECT refused, then again",
	     "is http1\n+CONNECT\n-CONNECT\nCONNECT 1.1 'x.test' 407 req=0 resp=2 ok\n"
	     "+CONNECT\n-CONNECT\nCONNECT 1.1 '::1' 204 req=0 resp=0 ok\n",
	     CLIENT("CONNECT x.test:443 HTTP/1.1\r\n\r\n"),
	     SERVER("HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno"),
	     CLIENT("CONNECT [::1]:443 HTTP/1.1\r\n\r\n"), SERVER("HTTP/1.1 204 OK\r\n\r\n")),
	CASE("CONNECT refused, the tunnel was assumed",
	     "is http1\n+CONNECT\n-CONNECT\nCONNECT 1.1 'x.test' 403 req=0 resp=0 ok\n"
	     "lost bad_request\nis tcp\n",
	     CLIENT("CONNECT x.test:443 HTTP/1.1\r\n\r\nearly"),
	     SERVER("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")),
	CASE("101", "is http1\n+GET\n-GET\nGET 1.1 'h' 101 req=0 resp=0 ok\n",
	     CLIENT("GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: "
		    "upgrade\r\n\r\n"),
	     SERVER("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"),
	     CLIENT("\x81\x85gggghello"), GET),
	CASE("101 with more requests behind",
	     "is http1\n+GET\n+GET\n-GET\nGET 1.1 'h' 101 req=0 resp=0 ok\n"
	     "-GET\nGET 1.1 'h' 0 req=0 resp=0 no_response\n",
	     GET, GET, SERVER("HTTP/1.1 101 Switching Protocols\r\n\r\n")),
	CASE("other 2xx than CONNECT's do not switch",
	     GET_OK "+GET\n-GET\nGET 1.1 'h' 200 req=0 resp=2 ok\n",
	     CLIENT("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n"), OK, GET, OK),
	CASE("absolute target beats Host",
	     "is http1\n+GET\n-GET\nGET 1.1 'Www.X.test' 200 req=0 resp=2 ok\n",
	     CLIENT("GET http://u:p@Www.X.test:80/p?u=http://no/ HTTP/1.1\r\nHost: h\r\n\r\n"), OK),
	CASE("absolute target without a path",
	     "is http1\n+GET\n-GET\nGET 1.1 'x' 200 req=0 resp=2 ok\n",
	     CLIENT("GET http://x?q HTTP/1.1\r\nHost: h\r\n\r\n"), OK),
	CASE("first Host counts", GET_OK,
	     CLIENT("GET / HTTP/1.1\r\nHOST:\th \r\nHost: other\r\n\r\n"), OK),
	CASE("bare LF, blank lines first, spaces",
	     "is http1\n+OPTIONS\n+GET\n-OPTIONS\nOPTIONS 1.1 'h' 200 req=0 resp=2 ok\n"
	     "-GET\nGET 1.1 '' 200 req=0 resp=2 ok\n",
	     CLIENT("\r\n\n\r\nOPTIONS * HTTP/1.1\nHost : h\n\n\r\nGET /a b c HTTP/1.1  \r\n\r\n"),
	     SERVER("HTTP/1.1 200 OK\nContent-Length :2\n\nok\r\n\r\n"
		    "HTTP/1.1   200\r\nContent-Length: 2\r\n\r\nok")),
	CASE("seven blanks behind the version", GET_OK,
	     CLIENT("GET / HTTP/1.1       \r\nHost: h\r\n\r\n"), OK),
	CASE("eight blanks behind the version", "is tcp\n",
	     CLIENT("GET / HTTP/1.1        \r\nHost: h\r\n\r\n"), OK),
	CASE("methods",
	     "is http1\n+_OTHER\n+_OTHER\n+_OTHER\n+QUERY\n"
	     "-_OTHER\n_OTHER 1.1 '' 418 req=0 resp=0 ok\n"
	     "-_OTHER\n_OTHER 1.1 '' 0 req=0 resp=0 no_response\n"
	     "-_OTHER\n_OTHER 1.1 '' 0 req=0 resp=0 no_response\n"
	     "-QUERY\nQUERY 1.1 '' 0 req=0 resp=0 no_response\n",
	     CLIENT("get / HTTP/1.1\r\n\r\nBREW /pot HTTP/1.1\r\n\r\nM-SEARCH * HTTP/1.1\r\n\r\n"
		    "QUERY /q HTTP/1.7\r\n\r\n"),
	     SERVER("HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n")),
	CASE("folded fields, odd fields", GET_OK,
	     CLIENT("GET / HTTP/1.1\r\n folded at once\r\nHost: h\r\nX: a\r\n b\r\n\tc: d\r\n: "
		    "empty\r\n"
		    "no colon\r\nContent-Lengthy: 9\r\nContent-Length-: 9\r\nY: \xff\x01\r\n\r\n"),
	     OK),
	CASE("a fold after a length, but of another field",
	     "is http1\n+PUT\n-PUT\nPUT 1.1 '' 200 req=3 resp=2 ok\n",
	     CLIENT("PUT / HTTP/1.1\r\nContent-Length: 3\r\nAccept: a\r\n b\r\n\r\nabc"), OK),
	CASE("a length in a line of exactly what is kept",
	     "is http1\n+PUT\n-PUT\nPUT 1.1 '' 200 req=3 resp=2 ok\n",
	     CLIENT("PUT / HTTP/1.1\r\nContent-Length:00000000" HUNDRED_ZEROS HUNDRED_ZEROS
			    HUNDRED_ZEROS HUNDRED_ZEROS ZEROS ZEROS ZEROS ZEROS ZEROS ZEROS ZEROS
				    ZEROS "000000003\r\n\r\nabc"),
	     OK),
	CASE("same length again", "is http1\n+PUT\n-PUT\nPUT 1.1 '' 200 req=3 resp=2 ok\n",
	     CLIENT("PUT / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3, 3\r\n\r\nabc"), OK),
	CASE("two lengths", "is http1\n+PUT\n-PUT\nlost ambiguous_length\nis tcp\n",
	     CLIENT("PUT / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"), OK),
	CASE("length and coding", "is http1\n+PUT\n-PUT\nlost ambiguous_length\nis tcp\n",
	     CLIENT("PUT / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
	     OK),
	CASE("length and coding of a response", GET_LOST("ambiguous_length"), GET,
	     SERVER("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
	     GET),
	CASE("chunked twice", "is http1\n+PUT\n-PUT\nlost ambiguous_length\nis tcp\n",
	     CLIENT("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
		    "x\r\n\r\n")),
	CASE("bad length", "is http1\n+PUT\n-PUT\nlost bad_request\nis tcp\n",
	     CLIENT("PUT / HTTP/1.1\r\nContent-Length: -3\r\n\r\n")),
	CASE("length beyond reason", "is http1\n+PUT\n-PUT\nlost bad_request\nis tcp\n",
	     CLIENT("PUT / HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n\r\n")),
	CASE("bad length of a response", GET_LOST("bad_response"), GET,
	     SERVER("HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n")),
	CASE("folded length", "is http1\n+PUT\n-PUT\nlost bad_request\nis tcp\n",
	     CLIENT("PUT / HTTP/1.1\r\nContent-Length: 3\r\n 4\r\n\r\n")),
	CASE("request of unknown coding", "is http1\n+PUT\n-PUT\nlost bad_request\nis tcp\n",
	     CLIENT("PUT / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n")),
	CASE("bad chunk size", GET_LOST("bad_chunk"), GET,
	     SERVER("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"), GET),
	CASE("huge chunk size", GET_LOST("bad_chunk"), GET,
	     SERVER("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8000000000000000\r\n")),
	CASE("chunk without an end", GET_LOST("bad_chunk"), GET,
	     SERVER("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n")),
	CASE("garbage after a request", GET_OK "lost bad_request\nis tcp\n", GET, OK,
	     CLIENT("no such thing\r\n"), OK),
	CASE("garbage for a response", GET_LOST("bad_response"), GET, SERVER("SSH-2.0-x\r\n"), GET),
	CASE("HTTP/2 for a response", GET_LOST("bad_response"), GET, SERVER("HTTP/2 200 OK\r\n")),
	CASE("no status", GET_LOST("bad_response"), GET, SERVER("HTTP/1.1 20 OK\r\n")),
	CASE("response to nothing", GET_OK "lost unexpected_response\nis tcp\n", GET, OK, OK),
	CASE("response to an answered request",
	     "is http1\n+POST\n-POST\nPOST 1.1 '' 413 req=0 resp=0 ok\n"
	     "lost unexpected_response\nis tcp\n",
	     CLIENT("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n"),
	     SERVER("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"), OK),
	CASE("lost only once, told of what was waiting",
	     "is http1\n+GET\n+GET\n-GET\n-GET\nlost bad_request\nis tcp\n", GET, GET,
	     CLIENT("?\r\n"), CLIENT("?\r\n"), OK),
	CASE("Redis, inline", "is tcp\n", CLIENT("SET key value\r\n"), SERVER("+OK\r\n"), GET),
	CASE("Redis", "is tcp\n", CLIENT("*1\r\n$4\r\nPING\r\n"), SERVER("+PONG\r\n")),
	CASE("memcached", "is tcp\n", CLIENT("get key\r\n"), SERVER("END\r\n")),
	CASE("SMTP", "is tcp\n", SERVER("220 mail\r\n"), CLIENT("EHLO x\r\n")),
	CASE("AMQP", "is tcp\n", CLIENT("AMQP\0\0\011\1")),
	CASE("HTTP/0.9", "is tcp\n", CLIENT("GET /\r\n"), SERVER("<html>"), SERVER_FIN),
	CASE("a method that is too long", "is tcp\n",
	     CLIENT("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n\r\n")),
	CASE("an answer to half a line", "is tcp\n", CLIENT("GET / HT"), SERVER("hello"),
	     CLIENT("TP/1.1\r\n\r\n")),
	CASE("half a line", "", CLIENT("GET / HT"), CLIENT_FIN, SERVER_FIN),
	CASE("TLS", "is tls\n", CLIENT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
	     SERVER("\x16\x03\x03")),
	CASE("HTTP/2", "is http2\n", CLIENT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
	     SERVER("\0\0\0\4\0\0\0\0\0")),
	CASE("HTTP/2, the server first", "is http2\n", SERVER("\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64"),
	     CLIENT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
	CASE("HTTP/1 after a server's SETTINGS", "is tcp\n", SERVER("\0\0\0\4\0\0\0\0\0"), GET),
	CASE("almost the HTTP/2 preface", "is tcp\n", CLIENT("PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n")),
	CASE("a request line of just over what is kept", GET_OK,
	     CLIENT("GET /" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED " HTTP/1.1\r\nHost: h\r\n\r\n"),
	     OK),
	CASE("a request line of exactly what is kept", GET_OK,
	     CLIENT("GET /" HUNDRED HUNDRED HUNDRED HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN
		    "12345678 HTTP/1.1\r\nHost: h\r\n\r\n"),
	     OK),
	CASE("a length in a line that is too long",
	     "is http1\n+PUT\n-PUT\nlost header_too_large\nis tcp\n",
	     CLIENT("PUT / HTTP/1.1\r\nContent-Length: 3, " HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED
			    HUNDRED "\r\n\r\n")),
	CASE("a host that is too long",
	     "is http1\n+GET\n-GET\nGET 1.1 '" HUNDRED HUNDRED TEN TEN TEN TEN TEN
	     "01234' 200 req=0 resp=2 ok\n",
	     CLIENT("GET / HTTP/1.1\r\nHost: " HUNDRED HUNDRED HUNDRED ":80\r\n\r\n"), OK),
};

#endif
