/* SPDX-License-Identifier: MIT */
/* test_spec.c - sizes, ports, mounts, times, signals, variables: what is taken, and what is refused
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fdio.h"
#include "spec.h"

#define NS 1000000000LL

static void refused(int rc, const struct err *e, const char *what, const char *in)
{
	if (rc >= 0 || !e->msg[0])
		fail_msg("%s \"%s\": taken, or refused without a word", what, in);
}

static void sizes(void **state)
{
	static const struct {
		const char *in;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },
		{ "1048576", 1048576 },
		{ "64b", 64 },
		{ "4k", 4096 },
		{ "4K", 4096 },
		{ "512m", 512U << 20 },
		{ "512mb", 512U << 20 },
		{ "512MiB", 512U << 20 },
		{ "1.5g", 3ULL << 29 },
		{ "1 g", 1ULL << 30 },
		{ "2t", 2ULL << 40 },
		{ ".5k", 512 },
		{ "1 ", 1 },
	};
	static const char *const bad[] = {
		"",      " ",   "m",    "-1",           "+1",
		"1x",    "1mm", "1kk",  "1gbx",         "1  g",
		"0x10",  "inf", "nan",  "1e3",          "1,5g",
		"1.2.3", ".",   "one",  "99999999999p", "999999999999999999999999999999999999",
		"1bb",   "1bi", "1m\n", "\xb5 1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct err e = { 0 };
		uint64_t v = 1;

		if (spec_size(good[i].in, &v, &e) < 0)
			fail_msg("%s", e.msg);
		assert_int_equal(v, good[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = { 0 };
		uint64_t v;

		refused(spec_size(bad[i], &v, &e), &e, "size", bad[i]);
	}
}

static void processors(void **state)
{
	static const char *const bad[] = { "",    "0",     "0.5", "1.5",
					   "-1",  "two",   "1e1", "inf",
					   "2x",  "2 ",    "nan", "9999999999999999999999",
					   "0.0", "200000" };
	struct err e = { 0 };
	uint32_t n = 0;

	(void)state;
	assert_int_equal(spec_cpus("2", &n, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(spec_cpus("4.0", &n, &e), 0);
	assert_int_equal(n, 4);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		e = (struct err){ 0 };
		refused(spec_cpus(bad[i], &n, &e), &e, "cpus", bad[i]);
	}
}

static void signals(void **state)
{
	static const struct {
		const char *in;
		int signo;
	} good[] = {
		{ "KILL", 9 }, { "SIGKILL", 9 }, { "sigterm", 15 }, { "term", 15 },
		{ "9", 9 },    { "64", 64 },     { "USR1", 10 },    { "sigHUP", 1 },
	};
	static const char *const bad[] = { "",
					   "0",
					   "-1",
					   "65",
					   "SIG",
					   "SIGSIGKILL",
					   "KILLS",
					   "9x",
					   "NULL",
					   " 9x",
					   "99999999999999999999" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct err e = { 0 };
		int signo = 0;

		assert_int_equal(spec_signal(good[i].in, &signo, &e), 0);
		assert_int_equal(signo, good[i].signo);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = { 0 };
		int signo;

		refused(spec_signal(bad[i], &signo, &e), &e, "signal", bad[i]);
	}
}

static void times(void **state)
{
	const int64_t now = 1700000000 * NS;
	static const struct {
		const char *in;
		int64_t ns;
	} good[] = {
		{ "0", 0 },
		{ "1700000000", 1700000000 * NS },
		{ "1136073845.000000001", 1136073845 * NS + 1 },
		{ "2006-01-02T15:04:05Z", 1136214245 * NS },
		{ "2006-01-02T15:04:05.5Z", 1136214245 * NS + NS / 2 },
		{ "2006-01-02T15:04:05.123456789+02:00", 1136207045 * NS + 123456789 },
		{ "2006-01-02T15:04:05-00:30", 1136216045 * NS },
		{ "2006-01-02T15:04:05", 1136214245 * NS }, /* local, which is UTC here */
		{ "2006-01-02T15:04", 1136214240 * NS },
		{ "2006-01-02T15", 1136214000 * NS },
		{ "2006-01-02", 1136160000 * NS },
		{ "10s", (1700000000 - 10) * NS },
		{ "1h30m", (1700000000 - 5400) * NS },
		{ "1.5h", (1700000000 - 5400) * NS },
		{ "500ms", 1700000000 * NS - NS / 2 },
	};
	static const char *const bad[] = {
		"",
		" ",
		"now",
		"yesterday",
		"1h30",
		"h",
		"5d",
		"1h-30m",
		"-5m",
		"2006-13-01",
		"2006-01-32",
		"2006-01-02T",
		"2006-01-02T25",
		"2006-01-02T15:04:05X",
		"2006-01-02T15:04:05+0200",
		"2006-01-02T15:04:05+02:00x",
		"2006-01-02T15:04:05+",
		"2006-01-02T15:04:05ZZ",
		"2006-01-02 15:04:05",
		"1900-01-01",
		"9999-01-01",
		"9999999999999",
		"1.2.3",
		"1700000000x",
		"99999999999999h",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct err e = { 0 };
		int64_t ns = -1;

		if (spec_time(good[i].in, now, &ns, &e) < 0)
			fail_msg("%s", e.msg);
		if (ns != good[i].ns)
			fail_msg("%s: %lld, not %lld", good[i].in, (long long)ns,
				 (long long)good[i].ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = { 0 };
		int64_t ns;

		refused(spec_time(bad[i], now, &ns, &e), &e, "time", bad[i]);
	}
}

static void tails(void **state)
{
	static const char *const bad[] = { "", "x", "1x", "1.5", "ALL ", "99999999999999999999" };
	struct err e = { 0 };
	int64_t n = 0;

	(void)state;
	assert_int_equal(spec_tail("all", &n, &e), 0);
	assert_int_equal(n, -1);
	assert_int_equal(spec_tail("-7", &n, &e), 0);
	assert_int_equal(n, -1);
	assert_int_equal(spec_tail("0", &n, &e), 0);
	assert_int_equal(n, 0);
	assert_int_equal(spec_tail("12", &n, &e), 0);
	assert_int_equal(n, 12);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		e = (struct err){ 0 };
		refused(spec_tail(bad[i], &n, &e), &e, "tail", bad[i]);
	}
}

/* "ip|host|guest|proto;" for each port */
static void ports_text(const struct machine_config *c, char *ret, size_t len)
{
	size_t at = 0;

	*ret = '\0';
	for (uint32_t i = 0; i < c->n_ports && at < len; i++)
		at += (size_t)snprintf(ret + at, len - at, "%s|%u|%u|%s;", c->ports[i].host_ip,
				       c->ports[i].host_port, c->ports[i].guest_port,
				       c->ports[i].is_udp ? "udp" : "tcp");
}

static void ports(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "80", "|0|80|tcp;" },
		{ "80/udp", "|0|80|udp;" },
		{ "8080:80", "|8080|80|tcp;" },
		{ "0:80", "|0|80|tcp;" },
		{ ":80", "|0|80|tcp;" },
		{ "127.0.0.1:8080:80", "127.0.0.1|8080|80|tcp;" },
		{ "127.0.0.1::80/tcp", "127.0.0.1|0|80|tcp;" },
		{ "[::1]:8080:80", "::1|8080|80|tcp;" },
		{ "80-81", "|0|80|tcp;|0|81|tcp;" },
		{ "8000-8001:80-81/udp", "|8000|80|udp;|8001|81|udp;" },
		{ "65535:65535", "|65535|65535|tcp;" },
	};
	static const char *const bad[] = {
		"",
		":",
		"0",
		"65536",
		"-1",
		"x",
		"80:",
		"a:80",
		"80/",
		"80/sctp",
		"80/TCPX",
		"81-80",
		"80-",
		"-80",
		"1-2-3",
		"65536:80",
		"8000-8001:80",
		"8000:80-81",
		"80:80:80:80",
		"::1:80:80",
		"[::1:80:80",
		"[]x:80:80",
		"8000-:80",
		"+80",
		" 80",
		"80 ",
		"80/udp/udp",
		"1234567890123456789012345678901234567890123456:1:1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct machine_config c = { 0 };
		struct err e = { 0 };
		char text[200];

		if (spec_publish(good[i].in, &c, &e) < 0)
			fail_msg("%s", e.msg);
		ports_text(&c, text, sizeof(text));
		assert_string_equal(text, good[i].out);
		machine_config_done(&c);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct machine_config c = { 0 };
		struct err e = { 0 };

		refused(spec_publish(bad[i], &c, &e), &e, "port", bad[i]);
		assert_int_equal(c.n_ports, 0);
		machine_config_done(&c);
	}
}

/* "kind source target options ro" of the only mount */
static void mount_text(const struct machine_config *c, char *ret, size_t len)
{
	const struct machine_mount *m = c->mounts;

	assert_int_equal(c->n_mounts, 1);
	snprintf(ret, len, "%s %s %s %s %s", machine_mount_name(m->kind),
		 m->source ? m->source : "-", m->target, m->options ? m->options : "-",
		 m->is_readonly ? "ro" : "rw");
}

struct mount_row {
	const char *in, *out; /* out NULL: refused */
};

typedef int mount_fn(const char *text, struct machine_config *c, struct err *e);

static int volume_parse(const char *text, struct machine_config *c, struct err *e)
{
	return spec_volume(text, "/cwd", c, e);
}

static int mount_parse(const char *text, struct machine_config *c, struct err *e)
{
	return spec_mount(text, "/cwd", c, e);
}

static void mounts_try(const struct mount_row *t, size_t n, mount_fn *fn)
{
	for (size_t i = 0; i < n; i++) {
		struct machine_config c = { 0 };
		struct err e = { 0 };
		char text[300];
		int rc = fn(t[i].in, &c, &e);

		if (!t[i].out) {
			refused(rc, &e, "mount", t[i].in);
			assert_int_equal(c.n_mounts, 0);
		} else if (rc < 0) {
			fail_msg("%s", e.msg);
		} else {
			mount_text(&c, text, sizeof(text));
			assert_string_equal(text, t[i].out);
		}
		machine_config_done(&c);
	}
}

static void volumes(void **state)
{
	static const struct mount_row t[] = {
		{ "/a:/b", "bind /a /b - rw" },
		{ "/a:/b:ro", "bind /a /b - ro" },
		{ "/a:/b:rw,z", "bind /a /b - rw" },
		{ "/a:/b:ro,cached", "bind /a /b - ro" },
		{ "./a:/b", "bind /cwd/./a /b - rw" },
		{ "../a:/b", "bind /cwd/../a /b - rw" },
		{ ".:/b", "bind /cwd/. /b - rw" },
		{ "..a:/b", "bind /cwd/..a /b - rw" }, /* no name begins with a dot */
		{ ".a:/b", "bind /cwd/.a /b - rw" },
		{ ".a/b:/b:ro", "bind /cwd/.a/b /b - ro" },
		{ "", NULL },
		{ ":", NULL },
		{ "/a:/b:nocopy", "bind /a /b - rw" },
		{ "/a", "volume  /a - rw" }, /* anonymous */
		{ "data:/b", "volume data /b - rw" },
		{ "a.b-c_1:/b:ro", "volume a.b-c_1 /b - ro" },
		{ "data:/b:nocopy", "volume data /b nocopy rw" },
		{ "data:/b:ro,nocopy,z", "volume data /b nocopy ro" },
		{ "data", NULL },
		{ "data:b", NULL },
		{ "data:", NULL },
		{ "data:/b:nocopy,", NULL },
		{ "data:/b:copy", NULL },
		{ "a/b:/b", NULL }, /* neither a name nor a directory */
		{ "_a:/b", NULL },
		{ "-a:/b", NULL },
		{ "a b:/b", NULL },
		{ "/a:b", NULL },
		{ "/a:", NULL },
		{ ":/b", NULL },
		{ "/a:/b:", NULL },
		{ "/a:/b:rox", NULL },
		{ "/a:/b:ro,", NULL },
		{ "/a:/b:ro:z", NULL },
		{ "/a:/b:shared", NULL },
	};

	(void)state;
	mounts_try(t, ARRAY_SIZE(t), volume_parse);
}

static void mounts(void **state)
{
	static const struct mount_row t[] = {
		{ "type=bind,source=/a,target=/b", "bind /a /b - rw" },
		{ "type=bind,src=/a,dst=/b,readonly", "bind /a /b - ro" },
		{ "type=bind,src=/a,destination=/b,ro=true", "bind /a /b - ro" },
		{ "type=bind,src=/a,dst=/b,readonly=false", "bind /a /b - rw" },
		{ "type=tmpfs,target=/t", "tmpfs - /t - rw" },
		{ "type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1777",
		  "tmpfs - /t size=64m,mode=1777 rw" },
		{ "type=tmpfs,dst=/t,tmpfs-mode=700,tmpfs-size=1m,tmpfs-mode=1777",
		  "tmpfs - /t size=1m,mode=1777 rw" },
		{ "type=tmpfs,dst=/t,tmpfs-mode=700", "tmpfs - /t mode=700 rw" },
		{ "", NULL },
		{ "type=bind", NULL },
		{ "type=bind,source=/a", NULL },
		{ "type=bind,target=/b", NULL },
		{ "type=bind,source=a,target=/b", NULL },
		{ "type=bind,source=/a,target=/b,tmpfs-size=1m", NULL },
		{ "type=tmpfs,source=/a,target=/b", NULL },
		{ "type=volume,source=v1,target=/b", "volume v1 /b - rw" },
		{ "source=v1,target=/b,readonly", "volume v1 /b - ro" }, /* is the default */
		{ "type=volume,dst=/b", "volume  /b - rw" },
		{ "type=volume,src=v1,dst=/b,volume-nocopy", "volume v1 /b nocopy rw" },
		{ "type=volume,src=v1,dst=/b,volume-nocopy=false", "volume v1 /b - rw" },
		{ "type=disk,src=/a.vhd,dst=/b", "disk /a.vhd /b - rw" },
		{ "type=disk,src=a.vhd,dst=/b,ro", "disk /cwd/a.vhd /b - ro" },
		{ "type=volume,source=v1", NULL },
		{ "type=volume,source=v1,target=", NULL },
		{ "type=volume,source=/v1,target=/b", NULL },
		{ "type=volume,source=../v1,target=/b", NULL },
		{ "type=volume,source=v1,target=/b,tmpfs-size=1m", NULL },
		{ "type=bind,source=/a,target=/b,volume-nocopy", NULL },
		{ "type=disk,dst=/b", NULL },
		{ "type=disk,src=,dst=/b", NULL },
		{ "type=disk,src=/a.vhd", NULL },
		{ "type=disk,src=/a.vhd,dst=/b,volume-nocopy", NULL },
		{ "type=npipe,source=/a,target=/b", NULL },
		{ "type=bind,source,target=/b", NULL },
		{ "type=bind,source=/a,target=/b,", NULL },
		{ "type=bind,source=/a,target=/b,bind-propagation=shared", NULL },
		{ "type=bind,source=/a,target=/b,=x", NULL },
		{ "type=tmpfs,target=/t,tmpfs-size=99999999999999999999999999999999999999999",
		  NULL },
	};

	(void)state;
	mounts_try(t, ARRAY_SIZE(t), mount_parse);
}

/* Said again and again, the last one counts, as for every other key. */
static void many_tmpfs_keys(void **state)
{
	char text[1024] = "type=tmpfs,target=/t";
	struct machine_config c = { 0 };
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i < 10; i++) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, ",tmpfs-size=%038d", i);
	}
	assert_int_equal(spec_mount(text, "/cwd", &c, &e), 0);
	assert_string_equal(c.mounts[0].options, "size=00000000000000000000000000000000000009");
	machine_config_done(&c);
}

static void tmpfs(void **state)
{
	static const struct mount_row t[] = {
		{ "/t", "tmpfs - /t - rw" },
		{ "/t:size=4m,mode=700", "tmpfs - /t size=4m,mode=700 rw" },
		{ "", NULL },
		{ "t", NULL },
		{ ":size=4m", NULL },
	};

	(void)state;
	mounts_try(t, ARRAY_SIZE(t), spec_tmpfs);
}

static void hosts(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "db:10.1.2.3", "db:10.1.2.3" },
		{ "db=10.1.2.3", "db:10.1.2.3" },
		{ "six:::1", "six:::1" },
		{ "six=[::1]", "six:::1" },
		{ "", NULL },
		{ "db", NULL },
		{ "db:", NULL },
		{ ":10.1.2.3", NULL },
		{ "=x", NULL },
		{ "db:host-gateway", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct strv s = { 0 };
		struct err e = { 0 };
		int rc = spec_add_host(t[i].in, &s, &e);

		if (t[i].out) {
			assert_int_equal(rc, 0);
			assert_string_equal(s.v[0], t[i].out);
		} else {
			refused(rc, &e, "host", t[i].in);
		}
		strv_done(&s);
	}
}

/* Lines joined by ';' */
static void strv_text(const struct strv *s, char *ret, size_t len)
{
	size_t at = 0;

	*ret = '\0';
	for (uint32_t i = 0; i < s->n && at < len; i++)
		at += (size_t)snprintf(ret + at, len - at, "%s;", s->v[i]);
}

static void variables(void **state)
{
	struct strv s = { 0 };
	struct err e = { 0 };
	char text[200];

	(void)state;
	assert_int_equal(setenv("SPEC_TEST", "from outside", 1), 0);
	assert_int_equal(unsetenv("SPEC_NONE"), 0);
	assert_int_equal(spec_env("A=1", &s, &e), 0);
	assert_int_equal(spec_env("AB=", &s, &e), 0);
	assert_int_equal(spec_env("SPEC_TEST", &s, &e), 0);
	assert_int_equal(spec_env("SPEC_NONE", &s, &e), 0);
	assert_int_equal(spec_env("A=2=3", &s, &e), 0); /* in the place of the first */
	strv_text(&s, text, sizeof(text));
	assert_string_equal(text, "A=2=3;AB=;SPEC_TEST=from outside;");
	refused(spec_env("", &s, &e), &e, "variable", "");
	refused(spec_env("=x", &s, &e), &e, "variable", "=x");
	strv_done(&s);
}

static void labels(void **state)
{
	struct strv s = { 0 };
	struct err e = { 0 };
	char text[200];

	(void)state;
	assert_int_equal(spec_label("a=1", &s, &e), 0);
	assert_int_equal(spec_label("b", &s, &e), 0);
	assert_int_equal(spec_label("a=2", &s, &e), 0);
	strv_text(&s, text, sizeof(text));
	assert_string_equal(text, "a=2;b=;");
	refused(spec_label("", &s, &e), &e, "label", "");
	refused(spec_label("=x", &s, &e), &e, "label", "=x");
	strv_done(&s);
}

static void env_lines(void **state)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} t[] = {
		{ "", "" },
		{ "A=1", "A=1;" },
		{ "A=1\n\n# no\n  B=2 # yes\r\n", "A=1;B=2 # yes;" },
		{ "A=1\nA=2\n", "A=2;" },
		{ "A= x \n", "A= x ;" },
		{ "\t#=\n", "" },
		{ "SPEC_NONE\n", "" },
		{ "=1\n", NULL },
		{ "A B=1\n", NULL },
		{ "A\t=1\n", NULL },
		{ "A=1\n  =\n", NULL },
	};

	(void)state;
	assert_int_equal(unsetenv("SPEC_NONE"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct strv s = { 0 };
		struct err e = { 0 };
		char text[200];
		int rc = spec_env_lines(t[i].in, strlen(t[i].in), "file", &s, &e);

		strv_text(&s, text, sizeof(text));
		if (t[i].out) {
			assert_int_equal(rc, 0);
			assert_string_equal(text, t[i].out);
		} else {
			refused(rc, &e, "lines", t[i].in);
		}
		strv_done(&s);
	}
}

static void env_file(void **state)
{
	char path[] = "/tmp/caisson-test-env-XXXXXX";
	auto_fd fd = mkstemp(path);
	struct strv s = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fd_write_full(fd, "A=1\n", 4), 0);
	assert_int_equal(spec_env_file(path, &s, &e), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(ftruncate(fd, SPEC_FILE_MAX + 1), 0);
	refused(spec_env_file(path, &s, &e), &e, "file", "too long");
	assert_int_equal(unlink(path), 0);
	refused(spec_env_file(path, &s, &e), &e, "file", path);
	refused(spec_env_file("/", &s, &e), &e, "file", "/");
	strv_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),    cmocka_unit_test(processors),
		cmocka_unit_test(signals),  cmocka_unit_test(times),
		cmocka_unit_test(tails),    cmocka_unit_test(ports),
		cmocka_unit_test(volumes),  cmocka_unit_test(mounts),
		cmocka_unit_test(tmpfs),    cmocka_unit_test(many_tmpfs_keys),
		cmocka_unit_test(hosts),    cmocka_unit_test(variables),
		cmocka_unit_test(labels),   cmocka_unit_test(env_lines),
		cmocka_unit_test(env_file),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
