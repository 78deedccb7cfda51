/* SPDX-License-Identifier: MIT */
/* test_failnth.c - flags and templates when memory is short or a file cannot be read */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "failnth.h"
#include "fdio.h"
#include "gotemplate.h"
#include "json_text.h"
#include "run_config.h"
#include "spec.h"
#include "temp_dir.h"

static struct flag_list list(const char **v, size_t n)
{
	return (struct flag_list){ v, n };
}

#define LIST(...)                                                                                  \
	list((const char *[]){ __VA_ARGS__ }, ARRAY_SIZE(((const char *[]){ __VA_ARGS__ })))

static char *config_text(const struct machine_config *c)
{
	json_t *j = machine_config_to_json(c);
	char *text = json_text(j, JSON_COMPACT | JSON_SORT_KEYS);

	json_decref(j);
	return text;
}

static int config_make(struct temp_dir *d, struct machine_config *c, struct err *e)
{
	char labels[80], vars[80], *argv[] = { (char[]){ "image" }, (char[]){ "sh" } };
	struct run_options o = { .name = "name",
				 .user = "user",
				 .workdir = "/w",
				 .hostname = "host",
				 .entrypoint = "/entry",
				 .memory = "512m",
				 .cpus = "2",
				 .network = "default",
				 .driver = "auto",
				 .stop_signal = "SIGINT",
				 .stop_timeout_s = 7 };

	snprintf(labels, sizeof(labels), "%s/labels", d->path);
	snprintf(vars, sizeof(vars), "%s/vars", d->path);
	o.env = LIST("A=1", "A=2", "B=3");
	o.env_files = LIST(vars);
	o.labels = LIST("a=flag");
	o.label_files = LIST(labels);
	o.volumes = LIST("./x:/x:ro");
	o.mounts = LIST("type=tmpfs,target=/t,tmpfs-size=64m", "type=bind,source=/s,target=/u");
	o.tmpfs = LIST("/v:size=1m");
	o.publish = LIST("8080-8081:80-81", "53/udp");
	o.add_hosts = LIST("name:10.0.0.1");
	o.dns = LIST("10.0.0.2");
	return run_config_make(&o, &(struct args){ argv, 2 }, "/cwd", c, e);
}

static char *want_config;

static int config(void *arg, struct err *e)
{
	struct machine_config c = { 0 };
	auto_free char *text = NULL;
	int rc = config_make(arg, &c, e);

	if (rc == 0)
		text = config_text(&c);
	machine_config_done(&c);
	if (rc < 0)
		return rc;
	if (!text)
		return err_set(e, ENOMEM, "config");
	assert_string_equal(text, want_config);
	return 0;
}

struct template_case {
	const char *text, *out;
};

static const char data_text[] =
	"{\"Name\":\"a name that is not short\",\"Count\":3,\"Half\":1.5,\"Nothing\":null,"
	"\"List\":[\"a\",\"b\",\"c\"],\"Map\":{\"b\":\"2\",\"a\":\"1\"}}";
static json_t *data;

static int template_run(void *arg, struct err *e)
{
	const struct template_case *t = arg;
	auto_buf b = { 0 };
	int rc = gotemplate_render(t->text, data, &b, e);

	if (rc == 0)
		assert_string_equal(b.data ? b.data : "", t->out);
	return rc;
}

static int template_titles(void *arg, struct err *e)
{
	struct gotemplate *t;
	auto_buf b = { 0 };
	int rc;

	(void)arg;
	if (gotemplate_parse("table {{.Ports}}\t{{.CreatedAt}}", &t, e) < 0)
		return -e->code;
	rc = gotemplate_execute(t, GOTEMPLATE_TITLES, data, &b, e);
	gotemplate_free(t);
	if (rc == 0)
		assert_string_equal(b.data, "table PORTS\tCREATED AT");
	return rc;
}

static void flags(void **state)
{
	static const char labels[] = "f=1\n\n# no\na=file", vars[] = "C=4\nD=a longer value of it";
	struct temp_dir *d = *state;
	struct machine_config c = { 0 };
	struct err e = { 0 };

	assert_int_equal(file_write_atomic_at(d->fd, "labels", 0600, labels, strlen(labels), &e),
			 0);
	assert_int_equal(file_write_atomic_at(d->fd, "vars", 0600, vars, strlen(vars), &e), 0);
	if (config_make(d, &c, &e) < 0)
		fail_msg("%s", e.msg);
	want_config = config_text(&c);
	machine_config_done(&c);
	failnth_run(&(struct failnth){ "config", config, NULL, d, FAIL_ALLOC | FAIL_CALL, NULL });
	free(want_config);
}

static void templates(void **state)
{
	static const struct template_case t[] = {
		{ "{{.Name}} {{.Count}} {{.Half}} {{.Nothing}}",
		  "a name that is not short 3 1.5 <no value>" },
		{ "{{json .}}", "{\"Name\":\"a name that is not short\",\"Count\":3,\"Half\":1.5,"
				"\"Nothing\":null,\"List\":[\"a\",\"b\",\"c\"],\"Map\":{\"b\":"
				"\"2\",\"a\":\"1\"}}" },
		{ "{{.List}} {{.Map}}", "[a b c] map[a:1 b:2]" },
		{ "{{range $i, $v := .List}}{{$i}}={{$v | upper}};{{end}}", "0=A;1=B;2=C;" },
		{ "{{with $x := index .Map \"a\"}}{{$x}}{{else}}-{{end}}", "1" },
		{ "{{if and (gt .Count 2) (eq .Name \"b\" \"c\")}}x{{else if .List}}y{{end}}",
		  "y" },
		{ "{{printf \"%s|%5d|%q|%v\" .Name .Count \"q\" .List}}",
		  "a name that is not short|    3|\"q\"|[a b c]" },
		{ "{{join .List \", \"}} {{len .Map}} {{slice .Name 2 6}} {{slice .List 1}}",
		  "a, b, c 2 name [b c]" },
		{ "{{title (lower \"AB CD\")}} {{pad \"x\" 2 2}}|{{truncate \"long\" 2}}",
		  "Ab Cd   x  |lo" },
		{ "{{split \"a,b\" \",\"}} {{print 1 2 \"x\"}} {{println}}", "[a b] 1 2x \n" },
	};

	(void)state;
	data = json_parse(data_text, strlen(data_text), 0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		failnth_run(&(struct failnth){ t[i].text, template_run, NULL, (void *)&t[i],
					       FAIL_ALLOC, NULL });
	failnth_run(&(struct failnth){ "titles", template_titles, NULL, NULL, FAIL_ALLOC, NULL });
	json_decref(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(flags, temp_dir_setup, temp_dir_teardown),
		cmocka_unit_test(templates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
