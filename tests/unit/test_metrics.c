// SPDX-License-Identifier: GPL-2.0-or-later
/* The registry: series, shards, bounds, names, and that a scrape may run beside it all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "exposition.h"
#include "metrics_internal.h"

#include <pthread.h>

static const struct metrics_process process = { .worker_restarts = 0 };

static struct metrics *fresh(uint32_t samples, uint32_t addresses, uint32_t hosts)
{
	struct metrics_config config = {
		.max_samples = samples,
		.max_names = { [METRIC_NAME_ADDRESS] = addresses,
			       [METRIC_NAME_HOST] = hosts,
			       [METRIC_NAME_METHOD] = 3 },
	};
	struct metrics *m = metrics_new(&config, NULL);

	assert_non_null(m);
	return m;
}

static struct metrics_shard *shard(struct metrics *m)
{
	struct metrics_shard *s = metrics_shard_new(m, NULL);

	assert_non_null(s);
	return s;
}

static struct metric_key opened(enum direction direction, uint16_t port)
{
	return (struct metric_key){ .metric = METRIC_CONNECTIONS_OPENED,
				    .direction = (uint8_t)direction,
				    .port = port };
}

static void count(struct metrics_shard *s, struct metric_key key, int64_t n)
{
	metric_add(metrics_value(s, &key), n);
}

static void test_series_stay(void **state)
{
	struct metrics *m = fresh(20000, 10, 10);
	struct metrics_shard *s = shard(m);
	struct metric_value *first[1000];
	struct exposition x;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		struct metric_key key = opened(DIRECTION_INBOUND, (uint16_t)(i + 1));

		first[i] = metrics_value(s, &key);
		metric_add(first[i], i + 1);
	}
	for (unsigned i = 0; i < 1000; i++) {
		struct metric_key key = opened(DIRECTION_INBOUND, (uint16_t)(i + 1));

		assert_ptr_equal(metrics_value(s, &key), first[i]);
	}
	exposition_read(&x, m, &process);
	for (unsigned i = 0; i < 1000; i++) {
		char series[128];

		snprintf(
			series, sizeof(series),
			"sluice_connections_opened_total{direction=\"inbound\",server_port=\"%u\"}",
			i + 1);
		assert_true(exposition_value(&x, series) == i + 1);
	}
	exposition_fini(&x);
	metrics_free(m);
}

static void test_shards_add_up(void **state)
{
	struct metrics *m = fresh(20000, 10, 10);
	struct metrics_shard *a = shard(m), *b = shard(m);
	struct metric_key active = { .metric = METRIC_CONNECTIONS_ACTIVE, .port = 80 };
	struct metric_key duration = { .metric = METRIC_CONNECT_DURATION, .port = 80 };
	struct exposition x;

	(void)state;
	count(a, active, 1);
	count(b, active, -3);
	metric_observe(metrics_histogram(a, &duration), 1);
	metric_observe(metrics_histogram(b, &duration), UINT64_MAX);
	metric_observe(metrics_histogram(b, &duration), 500000);
	metric_observe(metrics_histogram(b, &duration), 500001);
	exposition_read(&x, m, &process);
#define SERIES(part, le) \
	"sluice_connect_duration_seconds_" part "{direction=\"inbound\",server_port=\"80\"" le "}"
	assert_true(exposition_value(&x, "sluice_connections_active{direction=\"inbound\","
					 "server_port=\"80\"}") == -2);
	assert_true(exposition_value(&x, SERIES("bucket", ",le=\"0.0005\"")) == 2);
	assert_true(exposition_value(&x, SERIES("bucket", ",le=\"0.001\"")) == 3);
	assert_true(exposition_value(&x, SERIES("bucket", ",le=\"10.0\"")) == 3);
	assert_true(exposition_value(&x, SERIES("count", "")) == 4);
	/* 2^64 - 1 + 1 + 500000 + 500001 ns, exactly. */
	assert_non_null(strstr(x.text, SERIES("sum", "") " 18446744073.710551617\n"));
	exposition_fini(&x);
	metrics_free(m);
}

/* Past the budget nothing is lost, and the exposition stays within it. */
static void test_overflow(void **state)
{
	const uint32_t budget = 2000;
	struct metrics *m = fresh(budget, 10, 10);
	struct metrics_shard *a = shard(m), *b = shard(m);
	struct metric_key early = opened(DIRECTION_INBOUND, 1);
	struct metric_value *kept = metrics_value(a, &early);
	struct exposition x;

	(void)state;
	for (uint32_t i = 0; i < 50000; i++) {
		struct metrics_shard *s = i & 1 ? a : b;
		struct metric_key closed = {
			.metric = METRIC_CONNECTION_DURATION,
			.direction = DIRECTION_OUTBOUND,
			.port = (uint16_t)(1 + i % 60000),
			.outcome = (uint8_t)(i % OUTCOME_COUNT),
		};
		struct metric_key bytes = { .metric = METRIC_BYTES,
					    .way = (uint8_t)(i / 3 % 2),
					    .port = (uint16_t)(1 + i % 60000) };

		count(s, opened(i & 2 ? DIRECTION_INBOUND : DIRECTION_OUTBOUND, (uint16_t)(i + 1)),
		      1);
		count(s, bytes, 10);
		metric_observe(metrics_histogram(s, &closed), 1);
	}
	for (unsigned reason = 0; reason < LOST_REASON_COUNT; reason++)
		count(a,
		      (struct metric_key){ .metric = METRIC_OBSERVER_LOST,
					   .lost = (uint8_t)reason },
		      1);
	/* What was there before stays apart. */
	assert_ptr_equal(metrics_value(a, &early), kept);
	exposition_read(&x, m, &process);
	assert_true(x.count <= budget);
	assert_true(x.count > budget / 2);
	assert_true(exposition_sum(&x, "sluice_connections_opened_total") == 50000);
	assert_true(exposition_sum(&x, "sluice_bytes_total") == 500000);
	assert_true(exposition_sum(&x, "sluice_connection_duration_seconds_count") == 50000);
	assert_true(exposition_sum(&x, "sluice_observer_lost_total") == LOST_REASON_COUNT);
	assert_true(exposition_value(&x, "sluice_observer_lost_total{reason=\"bad_chunk\"}") == 1);
	assert_true(exposition_value(&x,
				     "sluice_bytes_total{direction=\"inbound\",way=\"to_client\","
				     "protocol=\"_OTHER\",server_port=\"_OTHER\"}") > 0);
	assert_true(exposition_value(&x, "sluice_connection_duration_seconds_count{"
					 "direction=\"outbound\",protocol=\"_OTHER\","
					 "server_address=\"_OTHER\",server_port=\"_OTHER\","
					 "outcome=\"_OTHER\"}") > 40000);
	assert_true(exposition_value(
			    &x, "sluice_series_overflow_total{metric=\"sluice_bytes_total\"}") >
		    40000);
	assert_true(exposition_value(&x, "sluice_series_overflow_total{metric=\""
					 "http_server_active_requests\"}") == 0);
	/* Where nobody asked for routes there are none, not even other ones. */
	metric_observe(
		metrics_histogram(
			a, &(struct metric_key){ .metric = METRIC_HTTP_SERVER_REQUEST_DURATION }),
		1);
	exposition_fini(&x);
	exposition_read(&x, m, &process);
	assert_non_null(strstr(x.text, "http_server_request_duration_seconds_count"));
	assert_null(strstr(x.text, "http_route"));
	exposition_fini(&x);
	metrics_free(m);
}

/* What a thread counts. */
struct counting {
	struct metrics_shard *shard;
	struct metric_key key;
};

static void *count_once(void *arg)
{
	const struct counting *c = arg;

	count(c->shard, c->key, 1);
	return NULL;
}

/* A key that was refused once costs no lock of the process any more. */
static void test_refused_without_lock(void **state)
{
	struct metrics *m = fresh(0, 0, 0);
	struct counting c = { shard(m), opened(DIRECTION_INBOUND, 80) };
	struct metrics_shard *other = shard(m);
	struct timespec patience;
	struct exposition x;
	pthread_t thread;

	(void)state;
	count(c.shard, c.key, 1);
	clock_gettime(CLOCK_REALTIME, &patience);
	patience.tv_sec += 20;
	pthread_mutex_lock(&m->lock);
	assert_int_equal(pthread_create(&thread, NULL, count_once, &c), 0);
	assert_int_equal(pthread_timedjoin_np(thread, NULL, &patience), 0);
	pthread_mutex_unlock(&m->lock);
	/* Others that fall on its place in whatever list there is, and other threads: all count. */
	for (unsigned port = 81; port < 3000; port++)
		count(c.shard, opened(DIRECTION_INBOUND, (uint16_t)port), 1);
	count(other, c.key, 1);
	count(c.shard, c.key, 1);
	exposition_read(&x, m, &process);
	assert_true(exposition_sum(&x, "sluice_connections_opened_total") == 2 + 2919 + 2);
	assert_true(exposition_value(&x, "sluice_series_overflow_total{metric=\""
					 "sluice_connections_opened_total\"}") == 2 + 2919 + 2);
	exposition_fini(&x);
	metrics_free(m);
}

/* How many calls of calloc() are good, from now on; negative: all. */
static _Thread_local int callocs_left = -1;

void *__real_calloc(size_t number, size_t size);
void *__wrap_calloc(size_t number, size_t size);

/* The linker leads calls of the code under test here (-Wl,--wrap=calloc). */
void *__wrap_calloc(size_t number, size_t size)
{
	if (callocs_left == 0)
		return NULL;
	callocs_left -= callocs_left > 0;
	return __real_calloc(number, size);
}

/* A series that there was no memory for has spent nothing. */
static void test_no_memory(void **state)
{
	struct metrics *m = fresh(1000, 10, 10);
	struct metrics_shard *s = shard(m);
	struct exposition x;
	uint32_t spent;

	(void)state;
	count(s, opened(DIRECTION_INBOUND, 1), 1);
	spent = m->samples;
	callocs_left = 0;
	for (unsigned i = 0; i < 2000; i++)
		count(s, opened(DIRECTION_INBOUND, 2), 1);
	callocs_left = -1;
	assert_int_equal(m->samples, spent);
	count(s, opened(DIRECTION_INBOUND, 2), 5);
	exposition_read(&x, m, &process);
	assert_true(exposition_value(&x, "sluice_connections_opened_total{direction=\"inbound\","
					 "server_port=\"2\"}") == 5);
	exposition_fini(&x);
	metrics_free(m);
}

static void test_no_budget_at_all(void **state)
{
	struct metrics *m = fresh(0, 0, 0);
	struct metrics_shard *s = shard(m);
	struct exposition x;

	(void)state;
	count(s, opened(DIRECTION_INBOUND, 80), 5);
	assert_int_equal(metrics_name(s, SPAN_LIT("x"), METRIC_NAME_HOST), METRIC_NAME_OTHER);
	exposition_read(&x, m, &process);
	assert_true(exposition_sum(&x, "sluice_connections_opened_total") == 5);
	exposition_fini(&x);
	metrics_free(m);
}

static uint32_t name(struct metrics_shard *s, const char *text, enum metric_name_kind kind)
{
	return metrics_name(s, span_str(text), kind);
}

static void test_names(void **state)
{
	struct metrics *m = fresh(20000, 3, 2);
	struct metrics_shard *a = shard(m), *b = shard(m);
	char longest[255];
	uint32_t id;

	(void)state;
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(name(a, "", METRIC_NAME_HOST), METRIC_NAME_NONE);
	id = name(a, "Web.Example", METRIC_NAME_HOST);
	assert_true(id > METRIC_NAME_OTHER);
	assert_int_equal(name(a, "web.example", METRIC_NAME_HOST), id);
	assert_int_equal(name(b, "wEB.example", METRIC_NAME_HOST), id);
	/* The same text of another kind is the same name, and spends nothing. */
	assert_int_equal(name(b, "web.example", METRIC_NAME_ADDRESS), id);
	assert_int_equal(name(a, "web.example.", METRIC_NAME_HOST), id);
	/* What is no host's name is no name; of another kind, it is another's. */
	assert_int_equal(name(a, ".", METRIC_NAME_HOST), METRIC_NAME_NONE);
	assert_int_equal(name(a, "a b", METRIC_NAME_HOST), METRIC_NAME_NONE);
	assert_int_equal(name(a, "a\"b", METRIC_NAME_HOST), METRIC_NAME_NONE);
	assert_int_equal(name(a, "_OTHER", METRIC_NAME_HOST), METRIC_NAME_NONE);
	assert_int_equal(name(a, "fd00::1", METRIC_NAME_HOST), METRIC_NAME_NONE);
	assert_int_equal(name(a, "caf\xc3\xa9", METRIC_NAME_HOST), METRIC_NAME_NONE);
	assert_int_equal(metrics_name(a, SPAN(longest, 254), METRIC_NAME_HOST), METRIC_NAME_NONE);
	assert_int_equal(name(a, "a b", METRIC_NAME_SNI), METRIC_NAME_OTHER);
	assert_int_equal(metrics_name(a, SPAN(longest, 254), METRIC_NAME_SNI), METRIC_NAME_OTHER);
	assert_true(metrics_name(a, SPAN(longest, 253), METRIC_NAME_HOST) > id);
	/* Hosts are full now; addresses are not, and what is known stays known. */
	assert_int_equal(name(a, "third", METRIC_NAME_HOST), METRIC_NAME_OTHER);
	assert_int_equal(name(b, "web.example", METRIC_NAME_HOST), id);
	assert_true(name(a, "10.0.0.1", METRIC_NAME_ADDRESS) > id);
	assert_true(name(a, "fd00::1", METRIC_NAME_ADDRESS) > id);
	assert_true(name(a, "third", METRIC_NAME_ADDRESS) > id);
	assert_int_equal(name(a, "10.0.0.4", METRIC_NAME_ADDRESS), METRIC_NAME_OTHER);
	assert_true(name(b, "third", METRIC_NAME_HOST) > id);
	/* Methods are told apart by case, and have a bound of their own. */
	id = name(a, "p.v1.S_x/Get", METRIC_NAME_METHOD);
	assert_true(id > METRIC_NAME_OTHER);
	assert_int_equal(name(b, "p.v1.S_x/Get", METRIC_NAME_METHOD), id);
	assert_true(name(a, "p.v1.S_x/get", METRIC_NAME_METHOD) > id);
	assert_int_equal(name(a, "S/M?x", METRIC_NAME_METHOD), METRIC_NAME_OTHER);
	assert_int_equal(name(a, "S/M\"", METRIC_NAME_METHOD), METRIC_NAME_OTHER);
	assert_true(name(a, "S/3", METRIC_NAME_METHOD) > id);
	assert_int_equal(name(a, "S/4", METRIC_NAME_METHOD), METRIC_NAME_OTHER);
	assert_int_equal(name(a, "sni.test", METRIC_NAME_SNI), METRIC_NAME_OTHER);
	metrics_free(m);
}

/* What a writer thread does; its totals are known. */
#define THREADS	  3
#define ROUNDS	  3000
#define PER_ROUND 17

static void *writer(void *arg)
{
	struct metrics_shard *s = arg;

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < PER_ROUND; i++) {
			struct metric_key key = { .metric = METRIC_CONNECT_DURATION,
						  .direction = DIRECTION_OUTBOUND,
						  .port = (uint16_t)(1 + i + round / 100) };
			char text[32];

			snprintf(text, sizeof(text), "host-%u", (round + i) % 40);
			key.name = metrics_name(s, span_str(text), METRIC_NAME_HOST);
			metric_observe(metrics_histogram(s, &key), i);
			count(s, opened(DIRECTION_INBOUND, (uint16_t)(1 + i)), 1);
		}
	}
	return NULL;
}

/* For the thread sanitizer, and for what a scrape in the middle may look like. */
static void test_scrape_beside_writers(void **state)
{
	struct metrics *m = fresh(20000, 10, 20);
	pthread_t threads[THREADS];
	struct exposition x;
	double last = 0;

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, writer, shard(m)), 0);
	for (int i = 0; i < 5; i++) {
		double now;

		exposition_read(&x, m, &process);
		now = exposition_sum(&x, "sluice_connections_opened_total");
		assert_true(now >= last);
		last = now;
		exposition_fini(&x);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	exposition_read(&x, m, &process);
	assert_true(exposition_sum(&x, "sluice_connections_opened_total") ==
		    THREADS * ROUNDS * PER_ROUND);
	assert_true(exposition_sum(&x, "sluice_connect_duration_seconds_count") ==
		    THREADS * ROUNDS * PER_ROUND);
	exposition_fini(&x);
	metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_series_stay),
		cmocka_unit_test(test_shards_add_up),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_no_budget_at_all),
		cmocka_unit_test(test_refused_without_lock),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_scrape_beside_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
