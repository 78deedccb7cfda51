/* SPDX-License-Identifier: MIT */
/* test_ps.c - rows and filters of ps */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ps_filter.h"
#include "ps_row.h"

#define NOW 1700000000000000000LL
#define ID  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static json_t *parse(const char *text)
{
	json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);

	if (!j)
		fail_msg("not JSON: %s", text);
	return j;
}

static void ports(void **state)
{
#define P(ip, h, g, p)                                                                             \
	"{\"host_ip\":\"" ip "\",\"host_port\":" #h ",\"guest_port\":" #g ",\"proto\":\"" p "\"}"
	static const struct {
		const char *published, *exposed, *out;
	} t[] = {
		{ "[]", "[]", "" },
		{ "null", "null", "" },
		{ "[" P("127.0.0.1", 8080, 80, "tcp") "]", "[]", "127.0.0.1:8080->80/tcp" },
		{ "[" P("127.0.0.1", 8080, 80, "tcp") "]", "[\"80/tcp\"]",
		  "127.0.0.1:8080->80/tcp" },
		{ "[]", "[\"443/tcp\",\"80/tcp\"]", "80/tcp, 443/tcp" },
		{ "[]", "[\"80\",\"81/tcp\",\"82/udp\"]", "80-81/tcp, 82/udp" },
		{ "[" P("0.0.0.0", 81, 81, "tcp") "," P("0.0.0.0", 80, 80, "tcp") "]", "[]",
		  "0.0.0.0:80-81->80-81/tcp" },
		{ "[" P("::", 80, 80, "tcp") "]", "[]", "[::]:80->80/tcp" },
		{ "[" P("0.0.0.0", 9000, 80, "udp") "]", "[\"80/tcp\"]",
		  "80/tcp, 0.0.0.0:9000->80/udp" },
		{ "[" P("0.0.0.0", 9000, 80, "tcp") "," P("0.0.0.0", 9001, 81, "tcp") "]", "[]",
		  "0.0.0.0:9000->80/tcp, 0.0.0.0:9001->81/tcp" },
		{ "[{}]", "[5]", "0/" }, /* no shape of ours, and no crash */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		json_t *published = parse(t[i].published), *exposed = parse(t[i].exposed);
		auto_buf b = { 0 };

		assert_int_equal(ps_ports_text(&b, published, exposed), 0);
		assert_string_equal(b.data ? b.data : "", t[i].out);
		json_decref(published);
		json_decref(exposed);
	}
}

static void statuses(void **state)
{
	static const struct {
		const char *machine, *out;
	} t[] = {
		{ "{\"status\":\"created\"}", "Created" },
		{ "{\"status\":\"dead\"}", "Dead" },
		{ "{\"status\":\"running\",\"started_ns\":1699999997000000000}", "Up 3 seconds" },
		{ "{\"status\":\"running\",\"started_ns\":1800000000000000000}",
		  "Up Less than a second" }, /* the clock went back */
		{ "{\"status\":\"exited\",\"exit_code\":137,\"finished_ns\":1699999700000000000}",
		  "Exited (137) 5 minutes ago" },
		{ "{}", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		json_t *m = parse(t[i].machine);
		auto_buf b = { 0 };

		assert_int_equal(ps_status_text(&b, m, NOW), 0);
		assert_string_equal(b.data ? b.data : "", t[i].out);
		json_decref(m);
	}
}

static void quotes(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "", "\"\"" },
		{ "sh -c x", "\"sh -c x\"" },
		{ "say \"hi\" \\", "\"say \\\"hi\\\" \\\\\"" },
		{ "a\nb\t\x1b\x7f", "\"a\\nb\\t\\x1b\\x7f\"" },
		{ "\xc2\x9b\xc3\xa9", "\"\\u009b\xc3\xa9\"" },
		{ "\xc2", "\"\xc2\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = { 0 };

		assert_int_equal(ps_quote(&b, t[i].in, strlen(t[i].in)), 0);
		assert_string_equal(b.data, t[i].out);
	}
}

static const char *cell(const json_t *row, const char *key)
{
	const char *t = json_string_value(json_object_get(row, key));

	assert_non_null(t);
	return t;
}

static const char machine[] =
	"{\"id\":\"" ID "\",\"name\":\"web\",\"image\":\"nginx\",\"image_id\":\"sha256:" ID "\","
	"\"created_ns\":1699992800000000000,\"status\":\"exited\",\"exit_code\":3,"
	"\"finished_ns\":1699999999000000000,"
	"\"command\":[\"sh\",\"-c\",\"while true; do sleep 1; done\"],"
	"\"ports\":[],\"exposed\":[\"80/tcp\"],\"labels\":{\"a\":\"1\",\"b\":\"\"},"
	"\"mounts\":[\"/a\",\"/home/somebody/data\"],\"network\":\"bridge\","
	"\"size\":12000,\"image_size\":4488000}";

static void rows(void **state)
{
	json_t *m = parse(machine), *cut = ps_row_make(m, PS_CUT, NOW),
	       *whole = ps_row_make(m, PS_WHOLE, NOW);

	(void)state;
	assert_string_equal(cell(cut, "ID"), "0123456789ab");
	assert_string_equal(cell(whole, "ID"), ID);
	assert_string_equal(cell(cut, "Command"), "\"sh -c 'while true; \xe2\x80\xa6\"");
	assert_string_equal(cell(whole, "Command"), "\"sh -c 'while true; do sleep 1; done'\"");
	assert_string_equal(cell(cut, "Status"), "Exited (3) 1 second ago");
	assert_string_equal(cell(cut, "State"), "exited");
	assert_string_equal(cell(cut, "RunningFor"), "2 hours ago");
	assert_string_equal(cell(cut, "CreatedAt"), "2023-11-14 20:13:20 +0000 UTC");
	assert_string_equal(cell(cut, "Ports"), ""); /* it does not run */
	assert_string_equal(cell(cut, "Labels"), "a=1,b=");
	assert_string_equal(cell(cut, "Image"), "nginx");
	assert_string_equal(cell(cut, "Names"), "web");
	assert_string_equal(cell(cut, "Mounts"), "/a,/home/somebody\xe2\x80\xa6");
	assert_string_equal(cell(whole, "Mounts"), "/a,/home/somebody/data");
	assert_string_equal(cell(cut, "Networks"), "bridge");
	assert_string_equal(cell(cut, "Size"), "12kB (virtual 4.5MB)");
	json_decref(cut);
	json_decref(whole);
	json_object_set_new(m, "image", json_string(""));
	cut = ps_row_make(m, PS_CUT, NOW);
	assert_string_equal(cell(cut, "Image"), "0123456789ab");
	json_decref(cut);
	json_decref(m);
	m = json_object(); /* nothing in it */
	cut = ps_row_make(m, PS_CUT, NOW);
	assert_string_equal(cell(cut, "Command"), "\"\"");
	assert_string_equal(cell(cut, "Mounts"), "");
	assert_string_equal(cell(cut, "Size"), "0B (virtual 0B)");
	json_decref(cut);
	json_decref(m);
}

static void good_filters(void **state)
{
	static const struct {
		const char *v[3];
		bool match;
	} t[] = {
		{ { NULL }, true },
		{ { "id=0123" }, true },
		{ { "id=^123" }, false },
		{ { "name=we" }, true },
		{ { "name=^/web$" }, true },
		{ { "name=^w$" }, false },
		{ { "name=nobody", "name=web" }, true },
		{ { "label=a" }, true },
		{ { "label=a=1" }, true },
		{ { "label=b=" }, true },
		{ { "label=a=2" }, false },
		{ { "label=c" }, false },
		{ { "label=a", "label=c" }, false }, /* all of them */
		{ { "status=exited" }, true },
		{ { "status=running" }, false },
		{ { "status=running", "status=exited" }, true },
		{ { "status=paused" }, false },
		{ { "exited=3" }, true },
		{ { "exited=0" }, false },
		{ { "exited=0", "exited=3", "name=web" }, true },
		{ { "exited=3", "name=nobody" }, false },
	};
	json_t *m = parse(machine);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const char *v[3];
		struct flag_list list = { .v = v };
		struct err e = { 0 };
		bool by_status, match = false;

		for (; list.n < 3 && t[i].v[list.n]; list.n++)
			v[list.n] = t[i].v[list.n];
		assert_int_equal(ps_filters_check(&list, &by_status, &e), 0);
		assert_int_equal(by_status, list.n && strncmp(v[0], "status", 6) == 0);
		assert_int_equal(ps_filters_match(NULL, &list, m, &match, &e), 0);
		if (match != t[i].match)
			fail_msg("row %zu", i);
	}
	json_decref(m);
}

static void bad_filters(void **state)
{
	static const char *const t[] = {
		"",
		"name",
		"=web",
		"nam=web",
		"names=web",
		"NAME=web",
		"status=",
		"status=up",
		"status=Exited",
		"exited=",
		"exited=x",
		"exited=1x",
		"exited=99999999999999999999",
		"name=[",
		"id=(",
		"name=*(",
		"before=web",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const char *v[] = { t[i] };
		struct err e = { 0 };
		bool by_status;

		if (ps_filters_check(&(struct flag_list){ v, 1 }, &by_status, &e) >= 0 || !*e.msg)
			fail_msg("filter \"%s\" is taken", t[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports),        cmocka_unit_test(statuses),
		cmocka_unit_test(quotes),       cmocka_unit_test(rows),
		cmocka_unit_test(good_filters), cmocka_unit_test(bad_filters),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
