/* SPDX-License-Identifier: MIT */
/* What is expected here is what Docker 28's inspect --format prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "gotemplate.h"

static const char data_text[] =
	"{\"Name\":\"default\",\"Count\":3,\"Half\":1.5,\"On\":true,\"Off\":false,\"Nothing\":null,"
	"\"List\":[\"a\",\"b\",\"c\"],\"Empty\":[],"
	"\"State\":{\"Status\":\"running\",\"Pid\":42},"
	"\"Config\":{\"Labels\":{\"b\":\"2\",\"a\":\"1\"},\"Cmd\":null,\"Env\":[\"A=1\"]},"
	"\"NoLabels\":{\"Labels\":null},"
	"\"NetworkSettings\":{\"Ports\":{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8080\"}],"
	"\"443/tcp\":[{\"HostIp\":\"::\",\"HostPort\":\"8443\"}]}}}";

static char *render(const char *text, int *ret_rc, struct err *e)
{
	json_t *data = json_loads(data_text, 0, NULL);
	auto_buf b = { 0 };

	assert_non_null(data);
	*ret_rc = gotemplate_render(text, data, &b, e);
	json_decref(data);
	return buf_take_str(&b);
}

struct good {
	const char *in, *out;
};

static void check_good(const struct good *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err e = { 0 };
		int rc;
		auto_free char *got = render(t[i].in, &rc, &e);

		if (rc < 0 || strcmp(got, t[i].out) != 0)
			print_message("%s: \"%s\" %s\n", t[i].in, got, e.msg);
		assert_int_equal(rc, 0);
		assert_string_equal(got, t[i].out);
	}
}

static void fields_and_literals(void **state)
{
	static const struct good t[] = {
		{ "", "" },
		{ "plain { } text", "plain { } text" },
		{ "{{.Name}}", "default" },
		{ "{{ .Name }}|{{.State.Pid}}", "default|42" },
		{ "{{.Count}} {{.Half}} {{.On}} {{.Off}}", "3 1.5 true false" },
		{ "{{.Nothing}}", "<no value>" },
		{ "{{.List}} {{.Empty}} {{.State}}", "[a b c] [] map[Pid:42 Status:running]" },
		{ "{{.Config.Labels}} {{.Config.Labels.a}}", "map[a:1 b:2] 1" },
		{ "{{.Config.Labels.nope}}", "<no value>" }, /* a map, not a struct */
		{ "{{.Config.Cmd}} {{.NoLabels.Labels}} {{.NoLabels.Labels.x}}",
		  "[] map[] <no value>" },
		{ "{{$.Name}} {{$.State.Status}}", "default running" },
		{ "{{json .State}}", "{\"Status\":\"running\",\"Pid\":42}" },
		{ "{{json .Name}} {{json nil}} {{json .Config.Cmd}}", "\"default\" null null" },
		{ "{{\"a\\tb\\x41\\u00e9\\\"\"}}{{`raw\\n`}}", "a\tbA\xc3\xa9\"raw\\n" },
		{ "{{'a'}} {{0x1F}} {{0b11}} {{017}} {{1_000}} {{-5}} {{1.5e3}}",
		  "97 31 3 15 1000 -5 1500" },
		{ "{{println 1.5 2e30 100000.0 1000000.5 0.00001 true nil}}",
		  "1.5 2e+30 100000 1.0000005e+06 1e-05 true <nil>\n" },
		{ "{{.Name}}}} {{true}}", "default}} true" },
		{ "{{\"}}\"}}", "}}" },
	};

	(void)state;
	check_good(t, sizeof(t) / sizeof(t[0]));
}

static void control_flow(void **state)
{
	static const struct good t[] = {
		{ "{{if .On}}y{{else}}n{{end}}{{if .Off}}y{{else}}n{{end}}", "yn" },
		{ "{{if .Off}}1{{else if .Empty}}2{{else if .List}}3{{else}}4{{end}}", "3" },
		{ "{{if and .On (eq .Name \"default\") }}x{{end}}", "x" },
		{ "{{range .List}}<{{.}}>{{end}}", "<a><b><c>" },
		{ "{{range .Empty}}x{{else}}none{{end}}{{range .Nothing}}x{{else}}none{{end}}",
		  "nonenone" },
		{ "{{range $i, $v := .List}}{{$i}}{{$v}}{{$.Count}} {{end}}", "0a3 1b3 2c3 " },
		{ "{{range $v := .List}}{{$v}}{{end}}{{range 3}}{{.}}{{end}}", "abc012" },
		{ "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;" },
		{ "{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac" },
		{ "{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a" },
		{ "{{with .State}}{{.Pid}}{{end}}{{with .Empty}}x{{else}}none{{end}}", "42none" },
		{ "{{with .Nothing}}{{else with .Name}}{{.}}{{end}}", "default" },
		{ "{{with $x := .Name}}{{$x}}{{end}}", "default" },
		{ "{{$a := 1}}{{if true}}{{$a = 2}}{{end}}{{$a}}", "2" },
		{ "a  {{- .Count -}}  b", "a3b" },
		{ "a {{/* no */}}b {{- /* no */ -}} c", "a bc" },
		/* what people do with it */
		{ "{{range $p, $c := .NetworkSettings.Ports}}{{$p}} -> {{(index $c 0).HostPort}} {{end}}",
		  "443/tcp -> 8443 80/tcp -> 8080 " },
		{ "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080" },
		{ "{{range .Config.Env}}{{println .}}{{end}}", "A=1\n" },
		{ "{{index .Config.Labels \"a\"}}{{index .Config.Labels \"x\"}}", "1" },
	};

	(void)state;
	check_good(t, sizeof(t) / sizeof(t[0]));
}

static void functions(void **state)
{
	static const struct good t[] = {
		{ "{{len .Name}} {{len .List}} {{len .State}} {{len .Config.Cmd}}", "7 3 2 0" },
		{ "{{join .List \",\"}} {{.Name | upper | lower | title}}", "a,b,c Default" },
		{ "{{split \"a,b\" \",\"}} {{len (split \"\" \",\")}} {{split \"ab\" \"\"}}",
		  "[a b] 1 [a b]" },
		{ "{{truncate .Name 3}}{{truncate .Name 30}}{{truncate \"h\xc3\xa9\" 2}}",
		  "defdefaulth" },
		{ "{{pad .Name 2 1}}|{{pad \"\" 2 1}}|", "  default ||" },
		{ "{{eq 1 1}} {{eq .Name \"x\" \"default\"}} {{ne 1 2}} {{eq nil .Nothing}}",
		  "true true true true" },
		{ "{{lt 1 2}} {{le 2 2}} {{gt \"b\" \"a\"}} {{ge 1.5 2.5}}",
		  "true true true false" },
		{ "{{not .On}} {{and 1 0 2}} {{or 0 \"\" \"x\"}}", "false 0 x" },
		{ "{{or 1 (index .List 100)}}", "1" }, /* not looked at */
		{ "{{index .List 1}} {{slice .List 1}} {{slice .Name 0 3}}", "b [b c] def" },
		{ "{{print 1 2 \"a\" \"b\" 3}}|{{print}}", "1 2ab3|" },
		{ "{{printf \"%s|%5s|%-5s|%05d|%x|%q|%v|%t|%%|%6.2f\" \"a\" \"b\" \"c\" 42 255 \"q\\\"\" .List true 3.14}}",
		  "a|    b|c    |00042|ff|\"q\\\"\"|[a b c]|true|%|  3.14" },
		{ "{{printf \"%d %s\" 1}}{{printf \"%d\" 1 2}}{{printf \"%d\" \"x\"}}{{printf \"%\"}}",
		  "1 %!s(MISSING)1%!(EXTRA int=2)%!d(string=x)%!(NOVERB)" },
		{ "{{printf \"%+d %b %o %.2s %c\" 5 5 8 \"abc\" 65}}", "+5 101 10 ab A" },
		{ "{{\"b\" | printf \"%s%s\" \"a\"}}", "ab" },
	};

	(void)state;
	check_good(t, sizeof(t) / sizeof(t[0]));
}

static void errors(void **state)
{
	static const struct {
		const char *in, *why;
	} t[] = {
		{ "{{.Nope}}",
		  ":1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\"" },
		{ "{{.State.Nope}}", ":1:8: executing \"\" at <.State.Nope>: map has no entry" },
		{ "x\n {{.Nope}}", ":2:3: executing" },
		{ "{{.Name.X}}", "can't evaluate field X in type string" },
		{ "{{.Nothing.X}}", "nil data; no entry for key \"X\"" },
		{ "{{if}}", "template: :1: missing value for if" },
		{ "{{", "template: :1: unclosed action" },
		{ "{{.Name", "unclosed action" },
		{ "{{}}", "missing value for command" },
		{ "{{foo}}", "function \"foo\" not defined" },
		{ "{{end}}", "unexpected {{end}}" },
		{ "{{else}}", "unexpected {{else}}" },
		{ "{{range .List}}x", "unexpected EOF" },
		{ "{{if .On}}a{{else}}b{{else}}c{{end}}", "expected end; found {{else}}" },
		{ "{{$x}}", "undefined variable \"$x\"" },
		{ "{{if true}}{{$b := 3}}{{end}}{{$b}}", "undefined variable \"$b\"" },
		{ "{{$x, $y := .List}}", "too many declarations" },
		{ "{{\"abc}}", "unterminated quoted string" },
		{ "{{`abc}}", "unterminated raw quoted string" },
		{ "{{\"\\q\"}}", "invalid syntax" },
		{ "{{'ab'}}", "malformed character constant" },
		{ "{{12x}}", "bad number syntax: \"12x\"" },
		{ "{{99999999999999999999}}", "bad number syntax" },
		{ "{{1 | 2}}", "non executable command in pipeline stage 2" },
		{ "{{(1}}", "unclosed left paren" },
		{ "{{1)}}", "unexpected \")\"" },
		{ "{{@}}", "unexpected \"@\"" },
		{ "{{..Name}}", "unexpected . after term \".\"" },
		{ "{{.Name.}}", "bad character" },
		{ "{{\"a\".X}}", "unexpected . after term" },
		{ "{{/* x }}", "unclosed comment" },
		{ "{{/* x */ y}}", "comment ends before closing delimiter" },
		{ "{{break}}", "{{break}} outside {{range}}" },
		{ "{{define \"x\"}}{{end}}", "{{define}} is not supported" },
		{ "{{nil}}", "nil is not a command" },
		{ "{{.Name 1}}", "Name has arguments but cannot be invoked as function" },
		{ "{{len .Name 1}}", "wrong number of args for len: want 1 got 2" },
		{ "{{and}}", "wrong number of args for and: want at least 1 got 0" },
		{ "{{eq 1 \"a\"}}", "error calling eq: incompatible types for comparison" },
		{ "{{eq .List .List}}", "non-comparable type" },
		{ "{{lt true false}}", "invalid type for comparison" },
		{ "{{index .List 3}}", "index out of range: 3" },
		{ "{{index .List -1}}", "index out of range: -1" },
		{ "{{index .List \"a\"}}", "cannot index slice/array with type string" },
		{ "{{index .Config.Labels 1}}", "value has type int; should be string" },
		{ "{{index (index .NetworkSettings.Ports \"1/tcp\") 0}}", "index of untyped nil" },
		{ "{{slice .List 2 1}}", "invalid slice index: 2 > 1" },
		{ "{{len 3}}", "len of type int" },
		{ "{{range .Name}}{{end}}", "range can't iterate over default" },
		{ "{{upper 1}}", "wrong type for value; expected string; got int" },
		{ "{{join .Name \",\"}}", "expected []string; got string" },
		{ "{{pad .Name 1000000 1}}", "expected int" },
		{ "{{range 3000000}}{{end}}", "runs too long" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct err e = { 0 };
		int rc;
		auto_free char *got = render(t[i].in, &rc, &e);

		if (rc == 0 || !strstr(e.msg, t[i].why))
			print_message("%s: \"%s\" %s\n", t[i].in, got, e.msg);
		assert_true(rc < 0);
		assert_non_null(strstr(e.msg, "template parsing error: template: :"));
		assert_non_null(strstr(e.msg, t[i].why));
	}
}

/* Each prefix of a template is good or an error, and never more. */
static void every_prefix_ends(void **state)
{
	static const char text[] =
		"a {{- /* c */ -}} {{range $i, $v := .List}}{{if and (eq $v \"b\\x41\") (lt $i 0x2)}}"
		"{{printf \"%q %*d\" $v 'x' | truncate 5}}{{else if .On}}{{continue}}{{end}}{{end}}"
		"{{with $x := index .Config.Labels `a`}}{{$x | json}}{{else}}{{(.State).Pid}}{{end}}";

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		char cut[sizeof(text)];
		struct err e = { 0 };
		int rc;

		snprintf(cut, sizeof(cut), "%.*s", (int)n, text);
		free(render(cut, &rc, &e));
		assert_true(rc == 0 || *e.msg);
	}
}

static void depth_and_size_are_bounded(void **state)
{
	auto_buf deep = { 0 }, large = { 0 };
	auto_buf out = BUF_LIMIT(1000);
	json_t *nested = json_array();
	struct err e = { 0 };
	int rc;

	(void)state;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(buf_add_str(&deep, "{{if true}}"), 0);
	free(render(deep.data, &rc, &e));
	assert_non_null(strstr(e.msg, "max template depth exceeded"));
	buf_clear(&deep);
	assert_int_equal(buf_add_str(&deep, "{{"), 0);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(buf_add_str(&deep, "("), 0);
	free(render(deep.data, &rc, &e));
	assert_non_null(strstr(e.msg, "max template depth exceeded"));
	for (size_t i = 0; i <= 1 << 20; i++)
		assert_int_equal(buf_add_str(&large, " "), 0);
	free(render(large.data, &rc, &e));
	assert_int_equal(rc, -EFBIG);
	for (int i = 0; i < 1000; i++) {
		json_t *outer = json_array();

		assert_int_equal(json_array_append_new(outer, nested), 0);
		nested = outer;
	}
	assert_int_equal(gotemplate_render("{{.}}", nested, &out, &e), 0);
	assert_non_null(strstr(out.data, "[...]"));
	json_decref(nested);
	assert_int_equal(gotemplate_render("{{range 999}}xxxxx{{end}}", NULL, &out, &e), -EFBIG);
}

static void titles_pass_through_functions(void **state)
{
	json_t *titles = json_pack("{s:s,s:s}", "ID", "CONTAINER ID", "Names", "NAMES");
	struct gotemplate *t;
	struct err e = { 0 };
	auto_buf b = { 0 };

	(void)state;
	assert_int_equal(
		gotemplate_parse("{{truncate .ID 3}}|{{.Names | lower}}|{{json .CreatedAt}}|"
				 "{{.Label \"com.example.my-key\"}}",
				 &t, &e),
		0);
	assert_int_equal(gotemplate_execute(t, GOTEMPLATE_TITLES, titles, &b, &e), 0);
	assert_string_equal(b.data, "CONTAINER ID|NAMES|CREATED AT|my key");
	gotemplate_free(t);
	json_decref(titles);
}

static void label_method(void **state)
{
	json_t *text = json_pack("{s:s}", "Labels", "a=1,ab=2,c=x=y");
	json_t *object = json_pack("{s:{s:s}}", "Labels", "a", "1");
	struct err e = { 0 };
	auto_buf b = { 0 };

	(void)state;
	assert_int_equal(gotemplate_render("{{.Label \"a\"}}{{.Label \"ab\"}}{{.Label \"c\"}}"
					   "{{.Label \"b\"}}",
					   text, &b, &e),
			 0);
	assert_int_equal(gotemplate_render("{{.Label \"a\"}}{{.Label \"b\"}}", object, &b, &e), 0);
	assert_string_equal(b.data, "12x=y1");
	assert_true(gotemplate_render("{{.Label 1}}", text, &b, &e) < 0);
	json_decref(text);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_and_literals),
		cmocka_unit_test(control_flow),
		cmocka_unit_test(functions),
		cmocka_unit_test(errors),
		cmocka_unit_test(every_prefix_ends),
		cmocka_unit_test(depth_and_size_are_bounded),
		cmocka_unit_test(titles_pass_through_functions),
		cmocka_unit_test(label_method),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
