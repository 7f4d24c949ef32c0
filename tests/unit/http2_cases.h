/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conversations of HTTP/2 and gRPC, in the notation of http2_script.h, and what is told of them. */
#ifndef TESTS_HTTP2_CASES_H
#define TESTS_HTTP2_CASES_H

struct http2_case {
	const char *name, *script, *expect;
};

#define BEGIN "> P\n> S\n< S\n< A\n> A\n"
#define GET   "> H 1 -e :method=GET :path=/ :authority=h:80\n"
#define POST  "> H 1 :method=POST :path=/ :authority=h\n"
#define OK    "< H 1 -e :status=200\n"
#define CALL                                                                                  \
	"> H 1 :method=POST :path=/p.S/M :authority=h:1 content-type=application/grpc+proto " \
	"te=trailers\n"
#define ONE	 "> D 1 -e m5\n"
#define ANSWER	 "< H 1 :status=200 content-type=application/grpc\n"
#define TRAILERS "< H 1 -e grpc-status=0\n"

#define UPGRADE \
	"> @ GET / HTTP/1.1|Host: h:80|Connection: Upgrade|Upgrade: h2c|HTTP2-Settings: AAMA||\n"
#define SWITCHED "< @ HTTP/1.1 101 Switching Protocols|Connection: Upgrade|UPGRADE: H2C||\n"

#define GET_OK	  "is http2\n+GET\n-GET\nGET 2 'h' 200 req=0 resp=0 ok\n"
#define LOST(why) "is http2\n+GET\n-GET\nlost " why "\nis tcp\n"
/* Lost before there was a request. */
#define LOST_EARLY(why) "lost " why "\nis tcp\n"

static const struct http2_case http2_cases[] = {
	/* ---- Requests ---- */
	{ "a request", BEGIN GET OK, GET_OK },
	{ "nothing but the preface", BEGIN, "is http2\n" },
	{ "bodies, both ways, padding not counted",
	  BEGIN POST "> D 1 10\n> D 1 -pe 3\n< H 1 :status=201\n< D 1 -p 20\n< D 1 -e 1\n",
	  "is http2\n+POST\n-POST\nPOST 2 'h' 201 req=13 resp=21 ok\n" },
	{ "empty DATA ends it", BEGIN POST "> D 1 5\n> D 1 -e\n< H 1 :status=200\n< D 1 -e\n",
	  "is http2\n+POST\n-POST\nPOST 2 'h' 200 req=5 resp=0 ok\n" },
	{ "DATA that is all padding", BEGIN POST "> D 1 -p\n> D 1 -pe\n" OK,
	  "is http2\n+POST\n-POST\nPOST 2 'h' 200 req=0 resp=0 ok\n" },
	{ "content behind the end is none",
	  BEGIN POST "> D 1 -e 5\n> D 1 7\n< H 1 :status=200\n< D 1 -e 1\n",
	  "is http2\n+POST\n-POST\nPOST 2 'h' 200 req=5 resp=1 ok\n" },
	{ "streams that share a place in our table",
	  BEGIN "> H 1 -e :method=GET :authority=a\n> H 9 -e :method=GET :authority=b\n"
		"> H 11 -e :method=GET :authority=c\n< H 1 -e :status=201\n< H 9 -e :status=202\n"
		"< H 11 -e :status=203\n",
	  "is http2\n+GET\n+GET\n+GET\n-GET\nGET 2 'a' 201 req=0 resp=0 ok\n-GET\n"
	  "GET 2 'b' 202 req=0 resp=0 ok\n-GET\nGET 2 'c' 203 req=0 resp=0 ok\n" },
	{ "trailers, both ways",
	  BEGIN POST "> D 1 2\n> H 1 -e x=y\n< H 1 :status=200\n< D 1 3\n< H 1 -e z=w\n",
	  "is http2\n+POST\n-POST\nPOST 2 'h' 200 req=2 resp=3 ok\n" },
	{ "interim responses are none",
	  BEGIN GET "< H 1 :status=103 link=x\n< H 1 :status=100\n" OK, GET_OK },
	{ "padded and prioritised HEADERS",
	  BEGIN "> H 1 -epr :method=GET :path=/ :authority=h\n< H 1 -ep :status=200\n", GET_OK },
	{ "a block in pieces",
	  BEGIN "> H 1 -en :method=GET\n> C 1 -n\n> C 1 -n :path=/\n> C 1 :authority=h\n"
		"< H 1 -enp\n< C 1 :status=200\n",
	  GET_OK },
	{ "a field over two frames",
	  BEGIN "> H 1 -en :method=GET !000a3a6175\n> C 1 !74686f726974790168\n" OK, GET_OK },
	{ "Host where there is no :authority", BEGIN "> H 1 -e :method=GET host=a.b:1\n" OK,
	  "is http2\n+GET\n-GET\nGET 2 'a.b' 200 req=0 resp=0 ok\n" },
	{ ":authority beats Host, in any order",
	  BEGIN "> H 1 -e :method=GET host=x :authority=h host=y\n" OK, GET_OK },
	{ "an unknown method", BEGIN "> H 1 -e :method=BREW :authority=h\n" OK,
	  "is http2\n+_OTHER\n-_OTHER\n_OTHER 2 'h' 200 req=0 resp=0 ok\n" },
	{ "no method", BEGIN "> H 1 -e :authority=h\n< R 1 1\n",
	  "is http2\n+_OTHER\n-_OTHER\n_OTHER 2 'h' 0 req=0 resp=0 reset\n" },
	{ "several at once, answered in another order",
	  BEGIN GET "> H 3 -e :method=PUT :authority=b\n> H 5 -e :method=HEAD :authority=c\n"
		    "< H 5 -e :status=204\n< H 1 -e :status=200\n< H 3 -e :status=500\n",
	  "is http2\n+GET\n+PUT\n+HEAD\n-HEAD\nHEAD 2 'c' 204 req=0 resp=0 ok\n-GET\n"
	  "GET 2 'h' 200 req=0 resp=0 ok\n-PUT\nPUT 2 'b' 500 req=0 resp=0 ok\n" },
	{ "an early answer waits for the request",
	  BEGIN POST "< H 1 -e :status=413\n> D 1 7\n> D 1 -e 1\n",
	  "is http2\n+POST\n-POST\nPOST 2 'h' 413 req=8 resp=0 ok\n" },
	{ "an early answer, and the rest is not wanted",
	  BEGIN POST "> D 1 3\n< H 1 -e :status=413\n< R 1 0\n> D 1 7\n",
	  "is http2\n+POST\n-POST\nPOST 2 'h' 413 req=3 resp=0 ok\n" },
	{ "CONNECT, answered: a tunnel is no exchange",
	  BEGIN "> H 1 :method=CONNECT :authority=h:1\n> D 1 5\n< H 1 :status=200\n< D 1 9\n"
		"> D 1 -e 9\n< D 1 -e 9\n",
	  "is http2\n+CONNECT\n-CONNECT\nCONNECT 2 'h' 200 req=5 resp=0 ok\n" },
	{ "CONNECT, refused",
	  BEGIN "> H 1 -e :method=CONNECT :authority=h:1\n< H 1 :status=403\n< D 1 -e 9\n",
	  "is http2\n+CONNECT\n-CONNECT\nCONNECT 2 'h' 403 req=0 resp=9 ok\n" },
	{ "what a server pushes is nobody's request, its block is read all the same",
	  BEGIN GET "< U 1 -pn 2 :method=GET :status=500 :path=/style !40016101\n< C 1 !62\n"
		    "< H 2 :status=200\n< D 2 -e 50\n< H 1 -e :status=200 !be\n",
	  GET_OK },
	{ "frames of no concern",
	  BEGIN "> X 2 1 0000000010\n> X 6 0 0000000000000000\n> X 8 0 00000001\n> X 2a 7 0102\n"
		"< X a 0 000102\n" GET "< X 8 1 00000001\n" OK,
	  GET_OK },

	/* ---- Ends ---- */
	{ "cancelled by the client", BEGIN GET "> R 1 8\n",
	  "is http2\n+GET\n-GET\nGET 2 'h' 0 req=0 resp=0 cancelled\n" },
	{ "reset by the client", BEGIN GET "< H 1 :status=200\n> R 1 2\n",
	  "is http2\n+GET\n-GET\nGET 2 'h' 200 req=0 resp=0 reset\n" },
	{ "refused by the server, its late answer ignored", BEGIN GET "< R 1 7\n" OK,
	  "is http2\n+GET\n-GET\nGET 2 'h' 0 req=0 resp=0 reset\n" },
	{ "a refused stream's blocks are read",
	  BEGIN "> H 1 -e :method=GET !40016101 !62\n< R 1 7\n> H 1 -e !40016301 !64\n"
		"> H 3 -e !bf :method=GET :authority=h !be\n< H 3 -e :status=200\n",
	  "is http2\n+GET\n-GET\nGET 2 '' 0 req=0 resp=0 reset\n+GET\n-GET\n"
	  "GET 2 'h' 200 req=0 resp=0 ok\n" },
	{ "GOAWAY ends what was not looked at",
	  BEGIN GET "> H 3 -e :method=GET :authority=b\n< G 1\n> H 5 -e :method=PUT\n" OK,
	  "is http2\n+GET\n+GET\n-GET\nGET 2 'b' 0 req=0 resp=0 no_response\n+PUT\n-PUT\n"
	  "PUT 2 '' 0 req=0 resp=0 no_response\n-GET\nGET 2 'h' 200 req=0 resp=0 ok\n" },
	{ "a graceful GOAWAY ends nothing", BEGIN GET "< G 2147483647\n> G 0\n" OK, GET_OK },
	{ "no answer", BEGIN GET, "is http2\n+GET\n-GET\nGET 2 'h' 0 req=0 resp=0 no_response\n" },
	{ "half an answer", BEGIN GET "< H 1 :status=200\n< D 1 9\n< F\n",
	  "is http2\n+GET\n-GET\nGET 2 'h' 200 req=0 resp=9 reset\n" },
	{ "a client that shuts its side down is answered", BEGIN GET "> F\n" OK, GET_OK },
	{ "an end without a final response", BEGIN GET "< H 1 -e :status=100\n",
	  "is http2\n+GET\n-GET\nGET 2 'h' 0 req=0 resp=0 no_response\n" },
	{ "a stream number twice", BEGIN GET OK GET "> H 2 -e :method=GET\n", GET_OK },

	/* ---- gRPC ---- */
	{ "a call", BEGIN CALL ONE ANSWER "< D 1 m7\n" TRAILERS,
	  "is grpc\ncall p.S/M OK 'h' msgs=1/1 bytes=10/12 ok\n" },
	{ "a call that fails by trailers alone",
	  BEGIN CALL ONE "< H 1 -e :status=200 content-type=application/grpc grpc-status=14\n",
	  "is grpc\ncall p.S/M UNAVAILABLE 'h' msgs=1/0 bytes=10/0 ok\n" },
	{ "streams, messages cut by frames and padding",
	  BEGIN CALL "> D 1 m5 m0 m2/9\n> D 1 -p 7 m0\n> D 1 -e\n" ANSWER
		     "< D 1 m1 m1 m1\n< D 1 -p m300\n" TRAILERS,
	  "is grpc\ncall p.S/M OK 'h' msgs=4/4 bytes=34/323 ok\n" },
	{ "no status is not OK", BEGIN CALL ONE ANSWER "< D 1 -e m3\n",
	  "is grpc\ncall p.S/M  'h' msgs=1/1 bytes=10/8 missing\n" },
	{ "an answer that is not gRPC's", BEGIN CALL ONE "< H 1 -e :status=502\n",
	  "is grpc\ncall p.S/M  'h' msgs=1/0 bytes=10/0 missing\n" },
	{ "a status that comes too early is none",
	  BEGIN CALL ONE "< H 1 :status=200 grpc-status=0\n< D 1 -e\n",
	  "is grpc\ncall p.S/M  'h' msgs=1/0 bytes=10/0 missing\n" },
	{ "cancelled", BEGIN CALL "> D 1 m5\n" ANSWER "< D 1 m5\n> R 1 8\n",
	  "is grpc\ncall p.S/M  'h' msgs=1/1 bytes=10/10 cancelled\n" },
	{ "reset by the server", BEGIN CALL ONE "< R 1 2\n",
	  "is grpc\ncall p.S/M  'h' msgs=1/0 bytes=10/0 reset\n" },
	{ "no answer to a call", BEGIN CALL ONE,
	  "is grpc\ncall p.S/M  'h' msgs=1/0 bytes=10/0 no_response\n" },
	{ "an early status, the client goes on for a while",
	  BEGIN CALL "> D 1 m5\n< H 1 -e :status=200 grpc-status=8\n> D 1 m5\n> R 1 8\n",
	  "is grpc\ncall p.S/M RESOURCE_EXHAUSTED 'h' msgs=2/0 bytes=20/0 ok\n" },
	{ "a path that names no method",
	  BEGIN "> H 1 -e :method=POST :path=/x content-type=application/grpc\n" TRAILERS,
	  "is grpc\ncall   '' msgs=0/0 bytes=0/0 no_response\n" },
	{ "gRPC for the web is HTTP",
	  BEGIN "> H 1 -e :method=POST :path=/p.S/M content-type=application/grpc-web\n" OK,
	  "is http2\n+POST\n-POST\nPOST 2 '' 200 req=0 resp=0 ok\n" },
	{ "a call behind a request: the flow stays what it was",
	  BEGIN GET OK "> H 3 -e :path=/p.S/M content-type=application/grpc\n"
		       "< H 3 -e :status=200 grpc-status=5\n",
	  GET_OK "call p.S/M NOT_FOUND '' msgs=0/0 bytes=0/0 ok\n" },

	/* ---- Who speaks first ---- */
	{ "the server speaks first",
	  "< S 3=100 4=65535 5=16384 6=8192\n< X 8 0 00100000\n> P\n> S\n"
	  "> A\n< A\n" GET OK,
	  GET_OK },
	{ "the server speaks first, and does not speak HTTP/2",
	  "< S 3=100\n< ! 4142434445464748494a4b4c4d4e4f50515253545556\n> P\n> S\n", "is tcp\n" },
	{ "the server seemed to speak HTTP/2, the client does not", "< S 3=100\n> ! 474554202f\n",
	  "is tcp\n" },

	/* ---- Upgraded from HTTP/1 ---- */
	{ "an upgrade, answered on stream 1", UPGRADE SWITCHED "< S\n> P\n> S\n" OK,
	  "is http1\n+GET\nis http2\n-GET\nGET 2 'h' 200 req=0 resp=0 ok\n" },
	{ "an upgrade, and a request behind it",
	  UPGRADE SWITCHED "< S\n< H 1 :status=200\n> P\n> S\n"
			   "> H 3 -e :method=PUT :authority=b\n< D 1 -e 9\n< H 3 -e :status=204\n",
	  "is http1\n+GET\nis http2\n+PUT\n-GET\nGET 2 'h' 200 req=0 resp=9 ok\n-PUT\n"
	  "PUT 2 'b' 204 req=0 resp=0 ok\n" },
	{ "an upgrade of a request with content",
	  "> @ POST / HTTP/1.1|Host: h|Content-Length: 3|Upgrade: h2c||abc\n" SWITCHED
	  "< S\n> P\n> S\n" OK,
	  "is http1\n+POST\nis http2\n-POST\nPOST 2 'h' 200 req=3 resp=0 ok\n" },
	{ "an upgrade that is declined",
	  UPGRADE "< @ HTTP/1.1 200 OK|Upgrade: h2c|Content-Length: 2||ok\n",
	  "is http1\n+GET\n-GET\nGET 1.1 'h' 200 req=0 resp=2 ok\n" },
	{ "an upgrade to something else is a tunnel",
	  UPGRADE "< @ HTTP/1.1 101 S|Upgrade: h2||\n< S\n",
	  "is http1\n+GET\n-GET\nGET 1.1 'h' 101 req=0 resp=0 ok\n" },
	{ "an upgrade with nothing behind it", UPGRADE SWITCHED,
	  "is http1\n+GET\n-GET\nGET 1.1 'h' 101 req=0 resp=0 reset\n" },
	{ "an upgrade without an answer", UPGRADE SWITCHED "< S\n> P\n> S\n",
	  "is http1\n+GET\nis http2\n-GET\nGET 2 'h' 0 req=0 resp=0 no_response\n" },
	{ "an upgrade, and no preface", UPGRADE SWITCHED "< S\n> @ GET / HTTP/1.1||\n",
	  "is http1\n+GET\nis http2\n-GET\nlost bad_frame\nis tcp\n" },
	{ "an upgrade, and a large table by the client's HTTP2-Settings",
	  UPGRADE SWITCHED "< S\n< H 1 -e !3fe17f :status=200\n> P\n> S\n",
	  "is http1\n+GET\nis http2\n-GET\nGET 2 'h' 200 req=0 resp=0 ok\n" },

	/* ---- Tables ---- */
	{ "a smaller table, both ways",
	  "> P\n> S 1=0\n< S 1=100\n< A\n> A\n> H 1 -e !3f45 :method=GET :authority=h !40016101 "
	  "!62\n"
	  "< H 1 -e !20 :status=200\n> H 3 -e :method=GET :authority=h !be\n< H 3 -e :status=200\n",
	  GET_OK "+GET\n-GET\nGET 2 'h' 200 req=0 resp=0 ok\n" },
	{ "a table above what the other side allows", BEGIN GET "< H 1 -e !3fe21f :status=200\n",
	  LOST("bad_header_block") },
	{ "a larger table, as soon as it is allowed",
	  "> P\n> S 1=8192\n< S\n> H 1 -e :method=GET :authority=h\n< H 1 -e !3fe13f :status=200\n",
	  GET_OK },
	{ "less is in force once it is acknowledged: before",
	  "> P\n> S 1=0\n< S\n" GET "< H 1 -e !3fe11f :status=200\n", GET_OK },
	{ "less is in force once it is acknowledged: after",
	  "> P\n> S 1=0\n< S\n" GET "< A\n< H 1 -e !3fe11f :status=200\n",
	  LOST("bad_header_block") },
	{ "less is in force with its own acknowledgement",
	  "> P\n> S\n> S 1=0\n< S\n" GET "< A\n< H 1 -e !3fe11f :status=200\n", GET_OK },

	/* ---- What cannot be ---- */
	{ "an entry that is not there", BEGIN GET "< H 1 -e !be\n", LOST("bad_header_block") },
	{ "a block that ends within a field", BEGIN GET "< H 1 -e !0001\n",
	  LOST("bad_header_block") },
	{ "a frame within a block", BEGIN GET "< H 1 -n :status=200\n< X 6 0 0000000000000000\n",
	  LOST("bad_frame") },
	{ "a block of one stream within another's", BEGIN GET "< H 1 -n :status=200\n< C 3\n",
	  LOST("bad_frame") },
	{ "CONTINUATION of nothing", BEGIN GET "< C 1 :status=200\n", LOST("bad_frame") },
	{ "HEADERS on no stream", BEGIN "> H 0 -e :method=GET\n", LOST_EARLY("bad_frame") },
	{ "DATA on no stream", BEGIN "> D 0 5\n", LOST_EARLY("bad_frame") },
	{ "more padding than frame", BEGIN GET "< ! 000003000800000001050000\n",
	  LOST("bad_frame") },
	{ "a padded frame without room for its padding", BEGIN GET "< ! 000000000800000001\n",
	  LOST("bad_frame") },
	{ "RST_STREAM of five bytes", BEGIN "> ! 00000503000000000100000000 00\n",
	  LOST_EARLY("bad_frame") },
	{ "half a setting", BEGIN "> ! 000003040000000000000100\n", LOST_EARLY("bad_frame") },
	{ "an acknowledgement that says something", BEGIN "> ! 000006040100000000000100000000\n",
	  LOST_EARLY("bad_frame") },
	{ "a frame larger than the other side allows", BEGIN GET "< ! 0040012a0000000000\n",
	  LOST("bad_frame") },
	{ "a larger frame where it is allowed", "> P\n> S 5=16385\n< S\n< ! 0040012a0000000000\n",
	  "is http2\n" },
	{ "a short GOAWAY", BEGIN "< ! 00000407000000000000000000\n", LOST_EARLY("bad_frame") },
	{ "a client that pushes", BEGIN GET "> U 1 2 :path=/\n", LOST("bad_frame") },
	{ "a client that does not begin with SETTINGS", "> P\n" GET, LOST_EARLY("bad_frame") },
	{ "a server that answers in HTTP/1", "> P\n> S\n< ! 485454502f312e312034303020\n",
	  LOST_EARLY("bad_frame") },
	{ "lost, with a request answered early",
	  BEGIN POST "> H 3 -e :method=GET\n< H 1 -e :status=200\n< H 1 !be\n",
	  "is http2\n+POST\n+GET\n-POST\nPOST 2 'h' 200 req=0 resp=0 ok\n-GET\n"
	  "lost bad_header_block\nis tcp\n" },
};

#endif
